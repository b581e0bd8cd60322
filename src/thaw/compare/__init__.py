"""Two variants, two revisions, or a branch and its base, side by side."""
