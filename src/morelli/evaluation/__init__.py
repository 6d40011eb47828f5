"""Protocols, metrics, leak tests, runner."""
