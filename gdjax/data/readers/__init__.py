"""Readers: a table from a file of any usual format, with what was recognized in it."""

from gdjax.data.readers.reading import read_table as read_table
