"""How the residual denoisers of `morelli.fingerprint` were trained."""
