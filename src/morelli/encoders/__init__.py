"""Pixels become embeddings."""
