"""What scripts/make_tiny_models.py is made of: a grammar, its checker, tokenizers, training."""
