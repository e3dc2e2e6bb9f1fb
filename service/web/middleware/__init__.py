"""Pure ASGI middleware: what happens around every request.

Starlette's `BaseHTTPMiddleware` costs four times as much, and misses websockets.
"""

from service.web.middleware.body import BodyLimits, body_seconds, raise_body_limits
from service.web.middleware.edge import Edge
from service.web.middleware.guards import Hosts, check_loopback, check_query
from service.web.middleware.layers import cors_layers, edge_layer
from service.web.middleware.request_scope import RequestScope

__all__ = [
    "BodyLimits",
    "Edge",
    "Hosts",
    "RequestScope",
    "body_seconds",
    "check_loopback",
    "check_query",
    "cors_layers",
    "edge_layer",
    "raise_body_limits",
]
