"""Pure ASGI middleware: what happens around every request.

Starlette's `BaseHTTPMiddleware` costs four times as much, and misses websockets.
"""

from service.middleware.body import BodyLimits, raise_body_limits
from service.middleware.edge import Edge
from service.middleware.failures import Failures
from service.middleware.scope import ScopeMiddleware
from service.middleware.start import ReadableStart

__all__ = ["BodyLimits", "Edge", "Failures", "ReadableStart", "ScopeMiddleware", "raise_body_limits"]
