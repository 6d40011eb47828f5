"""One file a route; each has ``register(router, desk)`` and stands in `morelli.web.app.ROUTES`."""
