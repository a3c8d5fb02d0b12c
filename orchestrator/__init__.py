"""Make quantized language models reproducibly: one recipe in, verified bytes out."""

__version__ = "0.1.0"
