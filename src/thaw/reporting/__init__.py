"""Figures, tables, sentences and pages, made of artifacts alone: nothing here imports torch."""
