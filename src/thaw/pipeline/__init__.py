"""The stages of dvc.yaml as a whole: what of them is outdated, running them, and clearing up after them."""
