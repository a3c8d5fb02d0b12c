"""Tests with the real tools: llama.cpp is built once per machine, in the user's cache."""
