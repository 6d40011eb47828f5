"""An image becomes a prompt: given, captioned (BLIP), or searched for in hard tokens (PEZ)."""
