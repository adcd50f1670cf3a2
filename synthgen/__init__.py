"""synthgen: synthetic facial-expression datasets from FACS Action Units."""

__version__ = "0.1.0"
