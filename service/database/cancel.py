"""Ends cancelled statements in PostgreSQL as well.

PostgreSQL ignores a cancel request that arrives before the statement runs, and asyncpg sends only one. The statement then
goes on, and the connection's next user waits for it.
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

_CANCEL_WAITS_SECONDS = (0.05, 0.1, 0.2, 0.4)
"""How long to wait for each cancel request, before the next one is sent or the connection is given up."""
_COPY_END_SECONDS = 0.5
"""How long to wait for the end of a COPY after its output failed."""
_REQUEST_TIMEOUT_SECONDS = 2.0
"""The limit for sending a request. The server closes the request's connection when it has passed the request on."""


def is_cancelling(raw: Raw) -> bool:
    """Return whether a statement was cancelled, by its task or a timeout, and has not ended yet."""
    protocol = raw._protocol  # type: ignore[attr-defined]  # noqa: SLF001 - no public way; tests notice a change
    return protocol is not None and protocol._is_cancelling()  # noqa: SLF001


async def statement_ends(raw: Raw, *, copy_out_failed: bool = False) -> bool:
    """Wait for the end of a cancelled statement, and repeat the cancel request for about a second.

    Args:
        raw: asyncpg's connection.
        copy_out_failed: Whether it is a COPY with a failed output. PostgreSQL either is still sending and ends at once, or has
            sent everything, and asyncpg never gets an answer to its cancel request. So wait half a second, and send nothing.

    Returns:
        Whether it has ended. `False` also if a request is still on its way, which might hit the connection's next statement.
    """
    if copy_out_failed:
        return await _ends_within(raw, _COPY_END_SECONDS)
    for seconds in _CANCEL_WAITS_SECONDS:
        if await _ends_within(raw, seconds):
            return True
        if not raw.is_closed() and not await cancel_request(raw):
            return False
    return await _ends_within(raw, _CANCEL_WAITS_SECONDS[-1])


async def _ends_within(raw: Raw, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            if not raw.is_closed():
                await raw._protocol._wait_for_cancellation()  # type: ignore[attr-defined]  # noqa: SLF001
    except TimeoutError:
        return False
    return True


def cancel_request(raw: Raw) -> Coroutine[Any, Any, bool]:
    """Return a coroutine that asks PostgreSQL to cancel the connection's statement. The connection must be open now.

    The coroutine returns `False` if the request may still arrive later.
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
        async with asyncio.timeout(_REQUEST_TIMEOUT_SECONDS):
            await connect_utils._cancel(**target)  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncpg itself does, once
    except TimeoutError:
        return False
    except OSError:  # not sent, or received by a server that closed the connection
        pass
    return True


class Backend(NamedTuple):
    """Identifies a server process to another connection."""

    pid: int
    client_port: int
    """-1 on a Unix socket. Behind a proxy it is not our port, and the process is left alone."""


def backend_of(raw: Raw) -> Backend:
    """Return the server process of a connection."""
    address = raw._transport.get_extra_info("sockname")  # type: ignore[attr-defined]  # noqa: SLF001
    return Backend(raw.get_server_pid(), address[1] if isinstance(address, tuple) else -1)


class OrphanedBackends:
    """Server processes that may still run a statement although their connection was given up."""

    def __init__(self) -> None:
        self._backends: set[Backend] = set()

    def __len__(self) -> int:
        return len(self._backends)

    def add(self, backend: Backend) -> None:
        """Have a process ended when the next connection is opened."""
        self._backends.add(backend)

    async def end(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        """End all of them from another connection. A process that has ended already is skipped."""
        backends, self._backends = self._backends, set()
        for backend in backends:
            try:
                await connection.execute(_END.format(*backend), timeout=_REQUEST_TIMEOUT_SECONDS)
            except Exception as error:  # noqa: BLE001 - ending it is optional
                logger.warning("the server process %d could not be ended: %r", backend.pid, error)


_END = """
    BEGIN;
    SET LOCAL ROLE NONE;
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = {0:d} AND client_port = {1:d} AND usename = session_user AND datname = current_database();
    COMMIT
"""
