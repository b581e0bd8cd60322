"""Training: the loop of the diffusion models, and the checkpoints it goes on from."""
