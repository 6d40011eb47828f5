"""What stands behind the facade `morelli.identify`: the gallery it holds, and the judges that make answers."""
