"""Sweeps: many training runs as lanes of one program, and what is learned from them."""

from gdjax.sweeps.paths import numbers_of, replace, resolve

__all__ = ["numbers_of", "replace", "resolve"]
