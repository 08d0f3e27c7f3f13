"""The open engine room for systematic crypto trading."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("cryptoquantix")
