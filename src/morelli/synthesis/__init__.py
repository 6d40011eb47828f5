"""Synthetic models (paper 002): shallow autoencoders of 288 architectures, each with a fingerprint of its own."""
