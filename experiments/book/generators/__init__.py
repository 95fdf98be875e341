"""Generated pages, a file for each kind: `pages(lab)` gives the contents by their paths in the source of the book."""
