"""Defences of an anonymous leaderboard (paper 000): what lowers exposure, and what still gets through."""
