"""The commands: each module parses, calls, prints and gives an exit code."""
