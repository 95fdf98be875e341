"""Runs on a text: what is learned (work), what it is judged by (ngrams, judgment), and what it writes (sampling)."""
