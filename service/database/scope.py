"""One unit of work, and how its statements reach a connection."""

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

import asyncpg

from service.database.call_site import call_site
from service.database.errors import ScopeClosed
from service.database.lease import Lease
from service.database.pool import Pool


class PoolSource(Protocol):
    """What a scope needs of a `Database`."""

    def pool(self) -> Pool:
        """The open pool; raises `PoolNotOpen`."""


class Executor(Protocol):
    """Where a statement of the running code goes: a scope, or a transaction or session block in it."""

    @property
    def outer(self) -> "Executor | None":
        """The frame around it."""

    def is_left_behind(self) -> bool:
        """Whether it has ended without the running task having left it."""

    @property
    def scope(self) -> "Scope":
        """The scope that it is, or is in."""

    async def send(self, method: str, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:
        """Run asyncpg's method of this name."""


class CopyInProgress:
    """Refuses the statements of a COPY's source or consumer: the connection is busy until that ends."""

    def __init__(self, outer: Executor, method: str) -> None:
        self.outer = outer
        self.scope = outer.scope
        self._method = method

    def is_left_behind(self) -> bool:
        """Never: it ends where it began."""
        return False

    async def send(self, method: str, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:  # noqa: ARG002
        """Raises `asyncpg.InterfaceError`: to wait for another connection here would be to hold and wait."""
        raise self.refusal(method)

    def refusal(self, what: str) -> asyncpg.InterfaceError:
        """The error that the source or consumer gets."""
        role = "output" if self._method.startswith("copy_from") else "source"
        where = "the records" if self._method == "copy_records_to_table" else f"the {role}"
        return asyncpg.InterfaceError(
            f"{what} inside {where} of {self._method}, in scope {self.scope.name!r}: COPY keeps the connection until it "
            f"ends. Read or write what belongs to it before or after, or in a `database.scope(...)` of its own"
        )


class Scope:
    """A named unit of work: a request, a job, a command, a test. Opening one takes no connection.

    Each statement outside a transaction leases a connection of its own, so tasks of one scope work in parallel.
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
        """Seconds that its statements waited for a connection, added up."""
        self.hold_time = 0.0
        """Seconds that it held connections, added up."""
        self.closed = False
        self._database = database
        self._current = current
        self.outer: Executor | None = None
        """The frame around it: another scope's, in which it was opened."""
        self._entered = False
        self._owner: asyncio.Task[Any] | None = None

    @property
    def scope(self) -> "Scope":
        """Itself: a scope is the outermost frame of its work."""
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
            self._current.set(self.outer)  # another task that leaves it keeps its own surroundings

    def is_left_behind(self) -> bool:
        """Whether the task that opened it runs on after its end, without having left it: in a generator, given up."""
        return self.closed and self._owner is asyncio.current_task()

    def check_open(self) -> None:
        """Raises `ScopeClosed` when the scope has ended."""
        if self.closed:
            raise ScopeClosed(
                f"the scope {self.name!r} has ended: a task that outlives it opens its own, "
                f"`async with database.scope(...):`"
            )

    async def lease(self) -> Lease:
        """A connection, at once or in turn. Give it back with `give_back`."""
        lease = self._lease_now()
        if lease is None:
            with _Turn(self, self._database.pool()) as turn:
                lease = await turn
            self._start(lease)
        return lease

    def _lease_now(self) -> Lease | None:
        self.check_open()
        pool = self._database.pool()
        lease = pool.acquire_now(self.name)
        if lease is not None and pool.reports_slow_leases:
            lease.taken_by = call_site()
        return lease

    def _start(self, lease: Lease) -> None:
        """With a connection that was waited for."""
        lease.holder = self.name
        if self.closed:
            self.give_back(lease)
            self.check_open()
        if lease.pool.reports_slow_leases:
            lease.taken_by = call_site()

    def give_back(self, lease: Lease) -> None:
        """Return a connection; what needs cleaning is cleaned by the pool."""
        self.hold_time += lease.pool.give_back(lease)

    async def send(self, method: str, query: str, args: Iterable[Any], options: dict[str, Any]) -> Any:
        """Run one statement on a connection of its own."""
        lease = self._lease_now()  # as `lease()` does, which would be one more coroutine that waits
        if lease is None:
            with _Turn(self, self._database.pool()) as turn:
                lease = await turn
            self._start(lease)
        self.statements += 1
        try:
            return await lease.send(method, query, args, options)
        finally:
            self.give_back(lease)


class _Turn:
    """A place in the line for a connection, and how long that takes."""

    __slots__ = ("_pool", "_scope", "_since", "_waiter")

    def __init__(self, scope: Scope, pool: Pool) -> None:
        self._scope = scope
        self._pool = pool

    def __enter__(self) -> asyncio.Future[Lease]:
        self._since = monotonic()
        self._waiter = self._pool.join_line()
        return self._waiter

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.leave_line(self._waiter, served=kind is None)
        waited = monotonic() - self._since
        self._scope.wait_time += waited
        self._pool.totals.wait_time += waited
