"""An application under load, and what uvicorn runs it with."""

from dataclasses import dataclass, field

POOL = 10
"""Connections of each contender's pool, open from the start; asyncpg's own default."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An application that uvicorn can run."""

    name: str
    title: str
    app: str
    """Module and attribute."""
    holds: str
    """For how long a request keeps a connection."""
    packages: tuple[str, ...] = ()
    """Whose versions matter, beside those of all."""
    http: str = "httptools"
    """What uvicorn reads requests with."""
    variables: dict[str, str] = field(default_factory=dict, hash=False)
    """Environment variables of its own."""
    signs_in: bool = False
    """Whether each request has a token, for a user who registers first."""
    is_limit: bool = False
    """Whether it does less than an application has to, and shows what cannot be beaten."""


BATCHED = "service.web.server.protocol:BatchedProtocol"
"""The service's protocol on httptools, as `poolkeeper serve` and the container image use it."""

STATEMENT = "for each statement or transaction"
REQUEST = "for the whole request"

IN_PRODUCTION = {
    "POOLKEEPER_ENV": "production",
    "POOLKEEPER_AUTH__KEY": "of-a-benchmark-and-nothing-else-" * 2,
    "POOLKEEPER_HTTP__ALLOWED_HOSTS": "127.0.0.1",
}
"""Settings that production requires."""
