"""Evaluation: the feature network, the metrics, and how far each can be trusted."""
