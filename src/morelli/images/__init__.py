"""A file becomes pixels, once."""
