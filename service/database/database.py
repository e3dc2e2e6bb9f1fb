"""The `Database`: opens and closes the pool, and finds the executor of the running code."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import asyncpg

from service.database.block import Block
from service.database.connect import Connector, Secret
from service.database.connection_init import Init, as_tuple, run_init
from service.database.driver_methods import CopyMethod
from service.database.errors import NoActiveScope, PoolNotOpen
from service.database.options import DatabaseOptions, TlsMode
from service.database.pool import Pool
from service.database.scope import CopyInProgress, Executor, Scope
from service.database.session import Session
from service.database.statement_timeout import StatementTimeout
from service.database.stats import Stats, Totals
from service.database.tracked_connection import tracked_class
from service.database.transaction import Transaction
from service.database.transaction_modes import Modes

logger = logging.getLogger("service.database")

_NO_SCOPE = (
    'no scope is open here: write `async with database.scope("name of the work"):` around it. '
    "In a request the middleware does that"
)


class Database:
    """A PostgreSQL database with its pool and scopes. It belongs to the event loop that opened it.

    Creating one does no I/O. `open` opens the pool, `close` drains and closes it.
    """

    def __init__(
        self,
        options: DatabaseOptions | None = None,
        *,
        connection_class: type[asyncpg.Connection[asyncpg.Record]] = asyncpg.Connection,
        init: Init | Sequence[Init] = (),
    ) -> None:
        """Create a database that is not open yet.

        Args:
            options: The size and limits of the pool.
            connection_class: asyncpg's connection or a subclass.
            init: An async function, or several, to set up each connection when it is opened and after each reset: for codecs
                (`set_type_codec`) and settings of the session. If it raises or takes longer than `connect_timeout`, the
                connection is closed, and statements raise `DatabaseUnavailable` with that error as its cause.
        """
        self.options = options or DatabaseOptions()
        self._connection_class = connection_class
        self._init = as_tuple(init)
        self._current: ContextVar[Executor | None] = ContextVar("poolkeeper_executor", default=None)
        self._pool: Pool | None = None
        self.waiters: Sized = ()
        """The tasks that wait for a connection; `len` returns how many there are now."""
        self._opening = False
        self._state = "not open yet: call `await container.init_resources()` or `await database.open(dsn)` first"

    @property
    def is_open(self) -> bool:
        """Whether statements can be sent."""
        return self._pool is not None and not self._pool.closing

    @property
    def is_closing(self) -> bool:
        """Whether it is closing or closed, and refuses new work."""
        return self._pool is not None and self._pool.closing

    async def open(
        self,
        dsn: Secret,
        *,
        password: Secret | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
        remote_sslmode: TlsMode = "prefer",
        init: Init | Sequence[Init] = (),
    ) -> None:
        """Open the pool with `min_size` connections.

        If the server cannot be reached, the pool opens anyway, and statements raise `DatabaseUnavailable` until it can.

        Args:
            dsn: `postgresql://user:password@host:port/database`, with one host or several. It may be a function, also an
                async one, which is called for each connection; its time counts towards `connect_timeout`.
            password: Takes precedence over the DSN's. It may be a function, as `dsn`.
            prepare: Awaited before each connection is opened. If it raises, the connection is not opened.
            remote_sslmode: The TLS mode towards another machine if the DSN, `options` and PGSSLMODE name none.
            init: Functions to run after the constructor's.

        Raises:
            RuntimeError: The database is open already.
            InvalidDsn: The DSN cannot be used.
        """
        if self.is_open or self._opening:
            raise RuntimeError("the database is open already, or is being opened")
        self._opening = True
        try:
            connector = Connector(dsn, password, self.options, remote_sslmode)
            await self._open(connector, prepare, (*self._init, *as_tuple(init)))
        finally:
            self._opening = False

    async def _open(
        self, connector: Connector, prepare: Callable[[], Awaitable[None]] | None, init: Sequence[Init]
    ) -> None:
        async def opened(*_: Any, **arguments: Any) -> asyncpg.Connection[asyncpg.Record]:
            if prepare is not None:
                await prepare()
            connection: asyncpg.Connection[asyncpg.Record] = await connector.connect(**arguments)
            return connection

        async def set_up(proxy: Any) -> None:  # asyncpg calls it after connecting and after each reset
            await run_init(proxy._con, init, options.connect_timeout)  # noqa: SLF001 - asyncpg has no name for it

        options = self.options
        driver = await asyncpg.create_pool(
            connect=opened,
            min_size=0,
            max_size=options.max_size,
            max_queries=options.max_queries,
            max_inactive_connection_lifetime=0,
            connection_class=tracked_class(self._connection_class),
            setup=set_up if init else None,
            reset=_reset,
            command_timeout=options.command_timeout or None,
            server_settings=options.server_settings(),
        )
        pool = Pool(driver, options, StatementTimeout(lambda: connector.statement_timeout, options.connect_timeout))
        try:
            await pool.fill()
        except BaseException:  # cancelled: no other code would close the pool
            await pool.close()
            raise
        self._pool, self.waiters = pool, pool.waiters

    async def close(self) -> None:
        """Wait at most `shutdown_timeout` seconds for the work in progress, then close all connections.

        Scopes that still hold a connection then are named in the log, and lose it. Closing a closed database does nothing.
        """
        if self._pool is None or self._pool.closing:
            return
        try:
            await self._pool.close()
        finally:
            self._state = "closed: open it again before use"

    def scope(self, name: str) -> Scope:
        """Return a unit of work: `async with database.scope("import"):`. Opening it takes no connection.

        Inside another scope it is independent: its work survives the outer scope's rollback.
        """
        return Scope(name, self, self._current)

    def executor(self) -> Executor:
        """Return the executor of the running code's statements. Raise `PoolNotOpen`, or `NoActiveScope` outside any scope."""
        executor = self._current.get()
        if executor is not None and executor.is_left_behind():
            while (
                executor is not None and executor.is_left_behind()
            ):  # outwards: each was entered once, after its outer one
                executor = executor.outer
            self._current.set(executor)  # for the tasks created from now on, which do not own the old one
        if executor is None:
            self.pool()
            raise NoActiveScope(_NO_SCOPE)
        return executor

    def executor_for(self, what: str) -> Executor:
        """Return the executor to open a block, cursor or prepared statement in.

        Raises:
            asyncpg.InterfaceError: The running code is the source or output of a COPY. The message names `what`.
        """
        executor = self.executor()
        if isinstance(executor, CopyInProgress):
            raise executor.refusal(what)
        return executor

    def _enclosing(self) -> Executor:
        """Return the executor that a block is entered in."""
        return self.executor_for("a block")

    @contextmanager
    def copying(self, method: CopyMethod) -> Iterator[Executor]:
        """Return the executor for a COPY by this method of asyncpg, and refuse the running code's statements until its end."""
        executor = self.executor()
        self._current.set(CopyInProgress(executor, method))
        try:
            yield executor
        finally:
            self._current.set(executor)

    def current_scope(self) -> Scope:
        """Return the scope of the running code. Raise `NoActiveScope` outside any scope."""
        executor = self._current.get()
        if executor is None:
            raise NoActiveScope(_NO_SCOPE)
        return executor.scope

    def transaction(self, modes: Modes, inside: Block | None = None) -> Transaction:
        """Return a transaction block for `ScopedConnection.transaction`.

        Args:
            modes: Its isolation, read-only and deferrable modes.
            inside: The enclosing block; `None` for the executor that it is entered in.
        """
        enclosing = self._enclosing if inside is None else lambda: inside
        return Transaction(self._current, enclosing, self.options.acquire_timeout, modes)

    def session(self) -> Session:
        """Return a session block for `ScopedConnection.session`."""
        return Session(self._current, self._enclosing, self.options.acquire_timeout)

    def pool(self) -> Pool:
        """Return the open pool. Raise `PoolNotOpen`."""
        if self._pool is None:
            raise PoolNotOpen(f"the pool is {self._state}")
        return self._pool

    def when_nobody_waits(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, in the event loop's next turn after the wait queue has emptied. Raise `PoolNotOpen`."""
        self.pool().when_nobody_waits(callback)

    def stats(self) -> Stats:
        """Return `size`, `idle`, `leased`, `waiting` and totals; all zero before it is opened."""
        if self._pool is None:
            return Stats(size=0, idle=0, leased=0, waiting=0, totals=Totals())
        return self._pool.stats()


async def _reset(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Run asyncpg's reset, and drop what it leaves: temporary tables, sequences' state, `SET ROLE`, statements of PREPARE."""
    status = await connection.execute(
        f"{connection.get_reset_query()}\nDISCARD TEMP; DISCARD SEQUENCES; SET SESSION AUTHORIZATION DEFAULT; {_PREPARED}"
    )
    if status != "SELECT 0":
        for statement in await connection.fetch(_PREPARED):
            await connection.execute(f"DEALLOCATE {statement['quoted']}")


_PREPARED = "SELECT quote_ident(name) AS quoted FROM pg_prepared_statements WHERE from_sql"
