"""The HTTP API: routes, and what stands between a caller and the facades."""
