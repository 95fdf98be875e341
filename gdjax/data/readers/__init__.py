"""Readers: a table from a file of any usual format, with what was recognized in it."""
