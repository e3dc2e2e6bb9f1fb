"""The interface of a module in `patterns`: an application in its style, and the operations that scenarios need."""

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
"""The body of an endpoint. Its arguments are the object that the pattern passes to endpoints (a pool, a connection or a
session, called `db` in the scenarios) and the endpoint's `BackgroundTasks` or `WebSocket`."""

works: dict[str, Work] = {}
"""The bodies that the patterns' routes run, by name."""


async def run(name: str, db: Any, other: Any) -> Any:
    """Run the body of this name. The routes `/unit/{name}`, `/thread/{name}` and `/socket/{name}` all call it."""
    return await works[name](db, other)


class Pattern(Protocol):
    """A module in `patterns`. Its application has the three routes that `run` names."""

    TITLE: str
    """Its name in the table."""
    FORM: str
    """How it is used here, in one line."""
    DEEPER: str
    """How a function further down gets its connection, for example as an argument of every function above it."""
    PACKAGES: tuple[str, ...]
    """Packages to list with their versions, in addition to FastAPI and asyncpg."""
    CANNOT: dict[str, str]
    """Scenarios that it cannot express, each with the reason."""

    def create_app(self, dsn: str, size: int) -> FastAPI:
        """Return an application with a pool of at most `size` connections."""

    async def script(self, dsn: str, size: int, work: Work) -> Any:
        """Run a body outside any application, as in a script, a job or a test."""

    async def value(self, db: Any, sql: str) -> Any:
        """Run one statement with the object of the endpoint or of `transaction`, and return its first value."""

    async def deeper(self, db: Any, sql: str) -> Any:
        """Do the same in a function further down, which uses `db` only if the pattern passes it on."""

    def transaction(self, db: Any) -> AbstractAsyncContextManager[Any]:
        """Open a transaction as the pattern's documentation writes it, and return the object that runs its statements."""

    async def independent(self, db: Any, sql: str) -> Any:
        """Run one statement inside a transaction but independent of it, so that it survives a rollback."""


def load(name: str) -> Pattern:
    """Return the module of this name. Raise `ImportError` if its packages are not installed."""
    return cast("Pattern", import_module(f"benchmarks.traps.patterns.{name}"))
