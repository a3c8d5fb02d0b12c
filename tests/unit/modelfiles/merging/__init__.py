"""Merging: tiny models in, digests that LLMZoo's own tool gave out."""
