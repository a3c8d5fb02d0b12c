"""Keyed steps: stored, scheduled, run once."""
