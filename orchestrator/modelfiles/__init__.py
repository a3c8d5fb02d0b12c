"""Readers of model files: headers only, no tensor data, no trust in what a file claims."""
