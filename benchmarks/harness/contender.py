"""An application under load, and what uvicorn runs it with."""

from dataclasses import dataclass, field

POOL = 10
"""Connections in each contender's pool, opened at its start. asyncpg's default."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An application that uvicorn can run."""

    name: str
    title: str
    app: str
    """Module and attribute, as uvicorn takes them."""
    holds: str
    """How long a request holds a connection."""
    packages: tuple[str, ...] = ()
    """Packages to list with their versions, in addition to those that all contenders use."""
    http: str = "httptools"
    """The HTTP protocol class of uvicorn."""
    variables: dict[str, str] = field(default_factory=dict, hash=False)
    """Environment variables for this contender only."""
    signs_in: bool = False
    """Whether each request carries the token of a user who registers first."""
    is_limit: bool = False
    """Whether it does less than an application must, and so shows an upper limit."""


BATCHED = "service.web.server:BatchedProtocol"
"""The service's protocol on httptools, as `poolkeeper serve` and the container image use it."""

STATEMENT = "for each statement or transaction"
REQUEST = "for the whole request"

IN_PRODUCTION = {
    "POOLKEEPER_ENV": "production",
    "POOLKEEPER_AUTH__KEY": "of-a-benchmark-and-nothing-else-" * 2,
    "POOLKEEPER_HTTP__ALLOWED_HOSTS": "127.0.0.1",
}
"""Settings that production requires."""
