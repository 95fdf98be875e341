"""Sweeps: many training runs as lanes of one program, and what is learned from them."""
