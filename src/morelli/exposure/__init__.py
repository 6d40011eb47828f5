"""Exposure (paper 000): how easily a leaderboard's votes can be de-anonymised, what that costs and what it moves."""
