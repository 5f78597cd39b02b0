"""The version of the package, for the package root and for files that say who wrote them."""

__version__ = "0.1.0.dev0"
