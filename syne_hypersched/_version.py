"""The version of the package, for the package root and for files that record their version."""

__version__ = "0.1.0.dev0"
