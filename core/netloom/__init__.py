"""Netloom: a container network for Linux that people can take apart."""

__version__ = "0.1.0"
