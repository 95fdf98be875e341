"""The pages of gdjax, as Markdown: what docstrings can say is generated from them."""
