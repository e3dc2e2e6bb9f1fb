"""Middleware with its settings, ready for the application's list."""

from collections.abc import Sequence
from functools import partial

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from service.web.drain import Drain
from service.web.middleware.edge import Edge
from service.web.middleware.guards import Hosts, check_loopback, check_query
from service.web.server.protocol import prepare_server
from service.web.settings import HttpSettings


def edge_layer(http: HttpSettings, drain: Drain, *, allowed_hosts: Sequence[str], loopback_only: bool) -> Middleware:
    """Return the outermost middleware, with its guards and the server's limits."""
    guards = [Hosts(allowed_hosts).check, check_query]
    if loopback_only:
        guards.append(check_loopback)
    prepare = partial(prepare_server, limits=http)
    return Middleware(Edge, drain=drain, guards=guards, hsts_seconds=http.hsts_seconds, prepare_server=prepare)


def cors_layers(origins: Sequence[str]) -> list[Middleware]:
    """Return the middleware for the web origins whose pages may call the service, if there are any."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"),
            expose_headers=("ETag", "Idempotency-Replayed", "Link", "Location", "Retry-After", "X-Request-ID"),
        )
    ]
