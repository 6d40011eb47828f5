"""The ablations of paper 002 (tables II–VII) on our extractors: ``python -m benchmarks.fingerprint --help``."""
