"""Ending statements that were cancelled, in PostgreSQL as well.

PostgreSQL forgets a cancel request that arrives before the statement runs, and asyncpg sends one. The statement then goes
on, and whoever uses the connection next waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncpg import connect_utils

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import asyncpg

    Raw = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger("service.database")

_PATIENCE = (0.05, 0.1, 0.2, 0.4)
"""Seconds that each cancel request has to take effect, before the next one is sent or the connection is given up."""
_COPY = 0.5
"""Seconds that a COPY has to end whose output failed."""
_REQUEST = 2.0
"""Seconds that sending one takes at most. The server closes its connection when it has passed the request on."""


def is_cancelling(raw: Raw) -> bool:
    """Whether a statement was cancelled, by its task or a timeout, and its end is not known yet."""
    protocol = raw._protocol  # type: ignore[attr-defined]  # noqa: SLF001 - no public way; tests notice a change
    return protocol is not None and protocol._is_cancelling()  # noqa: SLF001


async def statement_ends(raw: Raw, *, copied_out: bool = False) -> bool:
    """Wait until a cancelled statement has ended, and ask PostgreSQL for it again and again, for a second or so.

    `copied_out`: it is a COPY whose output failed. PostgreSQL was sending, and ends it at once; or it had sent everything,
    and then asyncpg waits for ever for the answer to its cancel request. So this waits for half a second, and asks no more.

    `False`: it goes on, or a request is still under way that might hit the connection's next statement.
    """
    if copied_out:
        return await _ends_within(raw, _COPY)
    for seconds in _PATIENCE:
        if await _ends_within(raw, seconds):
            return True
        if not raw.is_closed() and not await cancel_request(raw):
            return False
    return await _ends_within(raw, _PATIENCE[-1])


async def _ends_within(raw: Raw, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            if not raw.is_closed():
                await raw._protocol._wait_for_cancellation()  # type: ignore[attr-defined]  # noqa: SLF001
    except TimeoutError:
        return False
    return True


def cancel_request(raw: Raw) -> Coroutine[Any, Any, bool]:
    """Ask PostgreSQL to cancel what the connection, which is open now, runs when this is awaited.

    `False`: nobody knows whether the request will still arrive.
    """
    return _request(
        loop=asyncio.get_running_loop(),
        addr=raw._addr,  # type: ignore[attr-defined]  # noqa: SLF001
        params=raw._params,  # type: ignore[attr-defined]  # noqa: SLF001
        backend_pid=raw.get_server_pid(),
        backend_secret=raw._protocol.backend_secret,  # type: ignore[attr-defined]  # noqa: SLF001
    )


async def _request(**target: Any) -> bool:
    try:
        async with asyncio.timeout(_REQUEST):
            await connect_utils._cancel(**target)  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncpg itself does, once
    except TimeoutError:
        return False
    except OSError:  # not sent, or received by a server that hangs up
        pass
    return True


class Backend(NamedTuple):
    """What a server process is known by from another connection."""

    pid: int
    client_port: int
    """-1 on a Unix socket. Behind a proxy it is not ours, and the process is left alone."""


def backend_of(raw: Raw) -> Backend:
    """The process at the other end of a connection."""
    address = raw._transport.get_extra_info("sockname")  # type: ignore[attr-defined]  # noqa: SLF001
    return Backend(raw.get_server_pid(), address[1] if isinstance(address, tuple) else -1)


class Strays:
    """Server processes that may still run a statement although their connection was given up."""

    def __init__(self) -> None:
        self._backends: set[Backend] = set()

    def __len__(self) -> int:
        return len(self._backends)

    def add(self, backend: Backend) -> None:
        """End it with the next connection that is opened."""
        self._backends.add(backend)

    async def end(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        """End them all from another connection; one that has ended by itself is no matter."""
        backends, self._backends = self._backends, set()
        for backend in backends:
            try:
                await connection.execute(_END.format(*backend), timeout=_REQUEST)
            except Exception as error:  # noqa: BLE001 - whatever stands in the way: it was worth a try
                logger.warning("the server process %d could not be ended: %r", backend.pid, error)


_END = """
    BEGIN;
    SET LOCAL ROLE NONE;
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = {0:d} AND client_port = {1:d} AND usename = session_user AND datname = current_database();
    COMMIT
"""
