"""What all experiments share: the command line and its numbers, tables, claims, statements, pictures, record, exit code."""

from .run import Lab

__all__ = ["Lab"]
