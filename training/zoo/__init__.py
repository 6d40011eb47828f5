"""How the mini-zoo was trained: its models, and the reader that checks their images against the prompts."""
