"""The recipes, one file a kind of model."""
