"""What every study works with, and what several measure."""
