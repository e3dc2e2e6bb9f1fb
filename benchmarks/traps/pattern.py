"""What a module in `patterns` offers: an application in its own style, and the words for what scenarios do."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any, Protocol, cast

from fastapi import FastAPI

PATTERNS = (
    "global_pool",
    "app_state",
    "yield_dependency",
    "context_variable",
    "resource_closing",
    "context_local_resource",
    "dishka_request",
    "sqlalchemy_session",
    "encode_databases",
    "poolkeeper",
)

Work = Callable[[Any, Any], Awaitable[Any]]
"""The body of an endpoint. It gets what the pattern gives to endpoints (a pool, a connection, a session, called `db` in the
scenarios), and the endpoint's `BackgroundTasks` or `WebSocket`."""

works: dict[str, Work] = {}
"""The bodies that the routes of the patterns run, by name."""


async def run(name: str, db: Any, other: Any) -> Any:
    """Run the body of this name; the routes `/unit/{name}`, `/thread/{name}` and `/socket/{name}` all end here."""
    return await works[name](db, other)


class Pattern(Protocol):
    """A module in `patterns`. The application has the three routes that `run` names."""

    TITLE: str
    """How the table calls it."""
    FORM: str
    """How it is used here, in a line."""
    DEEPER: str
    """Where a function further down has its connection from: an argument of every function between, or less."""
    PACKAGES: tuple[str, ...]
    """Whose versions matter, beside FastAPI's and asyncpg's."""
    CANNOT: dict[str, str]
    """Scenarios that it has no way to write, each with the reason."""

    def create_app(self, dsn: str, size: int) -> FastAPI:
        """An application with a pool of at most `size` connections."""

    async def script(self, dsn: str, size: int, work: Work) -> Any:
        """Run a body outside any application, as in a script, a job or a test."""

    async def value(self, db: Any, sql: str) -> Any:
        """Run one statement with what the endpoint, or `transaction`, gave; its first value."""

    async def deeper(self, db: Any, sql: str) -> Any:
        """The same in a function further down, which uses `db` only where that is passed on."""

    def transaction(self, db: Any) -> AbstractAsyncContextManager[Any]:
        """A transaction as the pattern's documentation writes it; gives what its statements run with."""

    async def independent(self, db: Any, sql: str) -> Any:
        """Run one statement inside a transaction and yet apart from it, so that it survives when that is rolled back."""


def load(name: str) -> Pattern:
    """The module of this name. Raises `ImportError` where its packages are not installed."""
    return cast("Pattern", import_module(f"benchmarks.traps.patterns.{name}"))
