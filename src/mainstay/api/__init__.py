"""HTTP: the outer shell, the hot routes as plain ASGI, and every cold route in FastAPI.

Owns statuses, headers, limits, authentication and the documented shapes. May import everything below it; the hot routes
need `serve` alone. Keeps true: every error has the one JSON shape, whatever raised it, and no route is reachable around
the shell.
"""
