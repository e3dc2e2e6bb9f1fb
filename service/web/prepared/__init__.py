"""What FastAPI does anew for each request, and what is the same each time, is done here once, at the start.

FastAPI searches its routers twice, walks through a route's dependencies, looks again at each parameter's type, and opens
three exit stacks: three fifths of what a small request takes (docs/performance.md). A prepared route is found, read and
answered from what was looked at before, and the providers of injected parameters are asked without a wrapper. It does what
FastAPI does, to the byte. A route with anything that is not known here, and every request with anything wrong in it, goes
to FastAPI as though nobody had looked at it.

The switch is `performance.prepared_routes`. tests/web/prepared sends everything both ways, and compares.
"""

from service.web.prepared.application import PreparedApplication, application
from service.web.prepared.middleware import PreparedRoutes

__all__ = ["PreparedApplication", "PreparedRoutes", "application"]
