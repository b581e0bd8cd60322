"""The figures, one file a subject, drawn from results alone: nothing here imports torch."""
