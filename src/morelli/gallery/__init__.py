"""References on disk."""
