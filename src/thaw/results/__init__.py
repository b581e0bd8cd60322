"""The results: where they lie, what was measured, what differs by more than noise, and their history in git."""
