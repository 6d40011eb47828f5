"""The built-in mini-zoo: small text-to-image models over one drawn, captioned world."""
