"""Where things come from: git, package indexes, the Hugging Face Hub, local files."""
