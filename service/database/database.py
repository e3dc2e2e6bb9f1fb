"""One PostgreSQL database, its pool, and the scopes of work on it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import asyncpg

from service.database.block import Block
from service.database.connect import Connector, Secret
from service.database.errors import NoActiveScope, PoolNotOpen
from service.database.initialise import Init, in_order, initialise
from service.database.modes import Modes
from service.database.options import DatabaseOptions, TlsMode
from service.database.pool import Pool
from service.database.scope import CopyInProgress, Executor, Scope
from service.database.session import Session
from service.database.stats import Stats, Totals
from service.database.time_limit import StatementLimit
from service.database.tracked import tracked
from service.database.transaction import Transaction

logger = logging.getLogger("service.database")

_NO_SCOPE = (
    'no scope is open here: write `async with database.scope("name of the work"):` around it. '
    "In a request the middleware does that"
)


class Database:
    """Built without I/O; `open` opens its pool, `close` drains and closes it. It belongs to the event loop that opened it.

    `options`: size and limits of the pool. `connection_class`: asyncpg's connection, or a subclass.
    `init`: an async function, or several, that each new connection is given to before its first use, and each that was
    reset before its next: for codecs (`set_type_codec`) and settings of the session. One that raises, or takes longer than
    `connect_timeout`, makes the connection unusable: `DatabaseUnavailable`, with that error as its cause.
    """

    def __init__(
        self,
        options: DatabaseOptions | None = None,
        *,
        connection_class: type[asyncpg.Connection[asyncpg.Record]] = asyncpg.Connection,
        init: Init | Sequence[Init] = (),
    ) -> None:
        self.options = options or DatabaseOptions()
        self._connection_class = connection_class
        self._init = in_order(init)
        self._current: ContextVar[Executor | None] = ContextVar("poolkeeper_frame", default=None)
        self._pool: Pool | None = None
        self.waiters: Sized = ()
        """Those who wait for a connection: its length is how many they are now."""
        self._opening = False
        self._state = "not open yet: call `await container.init_resources()` or `await database.open(dsn)` first"

    @property
    def is_open(self) -> bool:
        """Whether statements can be sent."""
        return self._pool is not None and not self._pool.closing

    @property
    def is_closing(self) -> bool:
        """Whether it is being closed, or was: it takes no new work."""
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
        """Open the pool, with `min_size` connections where the server is there.

        `dsn`: `postgresql://user:password@host:port/database`, or with several hosts.
        `password`: takes precedence over the DSN's. This and `dsn` may be functions, async ones too, called anew for each
        connection; what they take counts towards `connect_timeout`.
        `prepare`: awaited before each connection is opened; while it raises, none is.
        `remote_sslmode`: TLS towards another machine where neither the DSN nor `options` nor PGSSLMODE names a mode.
        `init`: as the constructor's, which comes first.

        A server that is not there does not stop it: statements raise `DatabaseUnavailable` until it is. Opening an open
        database raises `RuntimeError`, and a DSN that cannot be used `InvalidDsn`.
        """
        if self.is_open or self._opening:
            raise RuntimeError("the database is open already, or being opened")
        self._opening = True
        try:
            connector = Connector(dsn, password, self.options, remote_sslmode)
            await self._open(connector, prepare, (*self._init, *in_order(init)))
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

        async def set_up(proxy: Any) -> None:  # after the opening and after each reset
            await initialise(proxy._con, init, options.connect_timeout)  # noqa: SLF001 - asyncpg has no name for it

        options = self.options
        driver = await asyncpg.create_pool(
            connect=opened,
            min_size=0,
            max_size=options.max_size,
            max_queries=options.max_queries,
            max_inactive_connection_lifetime=0,
            connection_class=tracked(self._connection_class),
            setup=set_up if init else None,
            reset=_reset,
            command_timeout=options.command_timeout or None,
            server_settings=options.server_settings(),
        )
        pool = Pool(driver, options, StatementLimit(lambda: connector.statement_timeout, options.connect_timeout))
        try:
            await pool.fill()
        except BaseException:  # cancelled: nobody else would close it
            await pool.close()
            raise
        self._pool, self.waiters = pool, pool.waiters

    async def close(self) -> None:
        """Wait for the work in hand, at most `shutdown_timeout` seconds, then end all connections.

        What still holds a connection then is named in the log, and cut off. Closing what is not open does nothing.
        """
        if self._pool is None or self._pool.closing:
            return
        try:
            await self._pool.close()
        finally:
            self._state = "closed: open it again before use"

    def scope(self, name: str) -> Scope:
        """A unit of work: `async with database.scope("import"):`. It takes no connection by itself.

        Inside another scope it is independent: its work survives the outer one's rollback.
        """
        return Scope(name, self, self._current)

    def frame(self) -> Executor:
        """Where the running code's statements go. Raises `PoolNotOpen`, or `NoActiveScope` outside any scope."""
        frame = self._current.get()
        if frame is not None and frame.is_left_behind():
            while frame is not None and frame.is_left_behind():  # outwards: each was entered once, after its outer one
                frame = frame.outer
            self._current.set(frame)  # for the tasks that are made from here on, which are not its owner
        if frame is None:
            self.pool()
            raise NoActiveScope(_NO_SCOPE)
        return frame

    def _surroundings(self) -> Executor:
        """The frame that a block is opened in."""
        frame = self.frame()
        if isinstance(frame, CopyInProgress):
            raise frame.refusal("a block")
        return frame

    @contextmanager
    def copying(self, method: str) -> Iterator[Executor]:
        """The frame for a COPY by asyncpg's method of this name; meanwhile the running code's statements are refused."""
        frame = self.frame()
        self._current.set(CopyInProgress(frame, method))
        try:
            yield frame
        finally:
            self._current.set(frame)

    def current_scope(self) -> Scope:
        """The scope that the running code is in. Raises `NoActiveScope` outside any."""
        frame = self._current.get()
        if frame is None:
            raise NoActiveScope(_NO_SCOPE)
        return frame.scope

    def transaction(self, modes: Modes, inside: Block | None = None) -> Transaction:
        """A transaction block with these modes, in the block `inside` or where it is entered.

        `ScopedConnection.transaction` is the way to it.
        """
        surroundings = self._surroundings if inside is None else lambda: inside
        return Transaction(self._current, surroundings, self.options.acquire_timeout, modes)

    def session(self) -> Session:
        """A block with a connection of its own; `ScopedConnection.session` is the way to it."""
        return Session(self._current, self._surroundings, self.options.acquire_timeout)

    def pool(self) -> Pool:
        """The open pool. Raises `PoolNotOpen`."""
        if self._pool is None:
            raise PoolNotOpen(f"the pool is {self._state}")
        return self._pool

    def when_nobody_waits(self, call: Callable[[], None]) -> None:
        """Call it once, in the event loop's next turn after which nobody waits for a connection. Raises `PoolNotOpen`."""
        self.pool().when_nobody_waits(call)

    def stats(self) -> Stats:
        """`size`, `idle`, `leased`, `waiting` and totals; all zero before it is opened."""
        if self._pool is None:
            return Stats(size=0, idle=0, leased=0, waiting=0, totals=Totals())
        return self._pool.stats()


async def _reset(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Asyncpg's reset, and what it leaves behind: temporary tables, sequences' state, `SET ROLE`, statements of PREPARE."""
    status = await connection.execute(
        f"{connection.get_reset_query()}\nDISCARD TEMP; DISCARD SEQUENCES; SET SESSION AUTHORIZATION DEFAULT; {_PREPARED}"
    )
    if status != "SELECT 0":
        for statement in await connection.fetch(_PREPARED):
            await connection.execute(f"DEALLOCATE {statement['quoted']}")


_PREPARED = "SELECT quote_ident(name) AS quoted FROM pg_prepared_statements WHERE from_sql"
