"""Recipes to keyed steps, and what pins them."""
