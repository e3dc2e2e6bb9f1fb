"""One unit of work, and how its statements reach a connection."""

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

import asyncpg

from service.database.call_site import call_site
from service.database.driver_methods import CopyMethod, Method
from service.database.errors import ScopeClosed
from service.database.lease import Lease
from service.database.pool import Pool


class PoolSource(Protocol):
    """The part of a `Database` that a scope needs."""

    def pool(self) -> Pool:
        """Return the open pool. Raise `PoolNotOpen`."""


class Executor(Protocol):
    """Executes the statements of the running code: a scope, or a transaction or session block in it."""

    @property
    def outer(self) -> "Executor | None":
        """The enclosing executor."""

    def is_left_behind(self) -> bool:
        """Return whether it has ended although the running task has not left it."""

    @property
    def scope(self) -> "Scope":
        """The scope that it is, or is in."""

    async def send(self, method: Method, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:
        """Run asyncpg's method of this name."""


class CopyInProgress:
    """Refuses statements of a COPY's source or output: the connection is busy until the COPY ends."""

    def __init__(self, outer: Executor, method: CopyMethod) -> None:
        self.outer = outer
        self.scope = outer.scope
        self._method = method

    def is_left_behind(self) -> bool:
        """Return `False`: it ends in the function that it began in."""
        return False

    async def send(self, method: Method, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:  # noqa: ARG002
        """Raise `asyncpg.InterfaceError`: waiting for another connection here would be hold-and-wait."""
        raise self.refusal(method)

    def refusal(self, what: str) -> asyncpg.InterfaceError:
        """Return the error for the source or output.

        Args:
            what: The refused call, for the message.
        """
        role = "output" if self._method.startswith("copy_from") else "source"
        where = "the records" if self._method == "copy_records_to_table" else f"the {role}"
        return asyncpg.InterfaceError(
            f"{what} inside {where} of {self._method}, in scope {self.scope.name!r}: COPY keeps the connection until it "
            f"ends. Read or write the data before or after it, or open another `database.scope(...)`"
        )


class Scope:
    """A named unit of work: a request, a job, a command, a test. Opening one takes no connection.

    Each statement outside a transaction leases its own connection, so tasks of one scope work in parallel.
    """

    __slots__ = (
        "_current",
        "_database",
        "_entered",
        "_owner",
        "closed",
        "hold_time",
        "name",
        "outer",
        "statements",
        "wait_time",
    )

    def __init__(self, name: str, database: PoolSource, current: ContextVar[Executor | None]) -> None:
        self.name = name
        self.statements = 0
        self.wait_time = 0.0
        """Total seconds for which its statements waited for a connection."""
        self.hold_time = 0.0
        """Total seconds for which it held connections."""
        self.closed = False
        self._database = database
        self._current = current
        self.outer: Executor | None = None
        """The enclosing executor, of another scope, if it was opened inside one."""
        self._entered = False
        self._owner: asyncio.Task[Any] | None = None

    @property
    def scope(self) -> "Scope":
        """Itself: a scope is the outermost executor of its work."""
        return self

    async def __aenter__(self) -> Self:
        if self._entered:
            raise asyncpg.InterfaceError(
                f"the scope {self.name!r} was entered before: a scope is entered once, so make a new one for each "
                f"`async with database.scope(...):`"
            )
        self._entered = True
        self.outer = self._current.get()
        self._owner = asyncio.current_task()
        self._current.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.closed or not self._entered:
            raise asyncpg.InterfaceError(
                f"the scope {self.name!r} cannot be left: it was not entered, or was left before"
            )
        self.closed = True
        if self._current.get() is self or self._owner is asyncio.current_task():
            self._current.set(self.outer)  # another task that leaves it keeps its executor

    def is_left_behind(self) -> bool:
        """Return whether the task that opened it runs on after its end without leaving it: in an abandoned generator."""
        return self.closed and self._owner is asyncio.current_task()

    def check_open(self) -> None:
        """Raise `ScopeClosed` if the scope has ended."""
        if self.closed:
            raise ScopeClosed(
                f"the scope {self.name!r} has ended: a task that outlives it opens its own, "
                f"`async with database.scope(...):`"
            )

    async def lease(self) -> Lease:
        """Lease a connection, at once or after waiting in the queue. Return it with `give_back`."""
        lease = self._lease_now()
        if lease is None:
            with _QueuedWait(self, self._database.pool()) as waiter:
                lease = await waiter
            self._start(lease)
        return lease

    def _lease_now(self) -> Lease | None:
        self.check_open()
        pool = self._database.pool()
        lease = pool.acquire_now(self.name)
        if lease is not None and pool.reports_slow_leases:
            lease.call_site = call_site()
        return lease

    def _start(self, lease: Lease) -> None:
        """Record the holder of a connection that came through the queue; give it back if the scope has ended."""
        lease.holder = self.name
        if self.closed:
            self.give_back(lease)
            self.check_open()
        if lease.pool.reports_slow_leases:
            lease.call_site = call_site()

    def give_back(self, lease: Lease) -> None:
        """Return a connection to its pool, which cleans it if needed."""
        self.hold_time += lease.pool.give_back(lease)

    async def send(self, method: Method, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:
        """Run one statement on a connection leased for it alone."""
        lease = self._lease_now()  # as in `lease()`; awaiting that would add a coroutine to each statement
        if lease is None:
            with _QueuedWait(self, self._database.pool()) as waiter:
                lease = await waiter
            self._start(lease)
        self.statements += 1
        try:
            return await lease.send(method, query, args, options)
        finally:
            self.give_back(lease)


class _QueuedWait:
    """A place in the queue for a connection. It records how long the wait takes."""

    __slots__ = ("_pool", "_scope", "_started_at", "_waiter")

    def __init__(self, scope: Scope, pool: Pool) -> None:
        self._scope = scope
        self._pool = pool

    def __enter__(self) -> asyncio.Future[Lease]:
        self._started_at = monotonic()
        self._waiter = self._pool.join_queue()
        return self._waiter

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.leave_queue(self._waiter, served=kind is None)
        waited = monotonic() - self._started_at
        self._scope.wait_time += waited
        self._pool.totals.wait_time += waited
