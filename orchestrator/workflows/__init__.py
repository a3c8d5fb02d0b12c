"""What a user does around a run."""
