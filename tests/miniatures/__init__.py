"""Miniatures of well-known model repositories, with the file layout of the real ones."""
