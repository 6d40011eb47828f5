"""How each kind of model makes pictures; one file a kind, each with ``build(parts, settings)``."""
