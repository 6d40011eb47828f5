"""The tables of papers 000, 001 and 002, measured on data sets of the user: python -m benchmarks.papers."""
