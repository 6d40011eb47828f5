"""Embeddings become scores. Arrays only: no encoder and no torch is imported here."""
