"""What everything computes with: random numbers, the hardware, tensors and sheets on disk, layers of networks."""
