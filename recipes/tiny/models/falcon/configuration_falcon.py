"""Stands for the code that real model repositories carry; nothing should ever run it."""

raise RuntimeError("code from a model's folder was run")
