"""Recipes: nets, optimisers and one training step each."""
