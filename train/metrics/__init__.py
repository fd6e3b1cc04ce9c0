"""Metrics: distances, similarity, translation quality, and the evaluation of a style."""
