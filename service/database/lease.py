"""A pooled connection as the pool lends it to one scope after another."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from functools import partial
from time import monotonic
from typing import Any, Protocol

import asyncpg

from service.database.call_site import CallSite, describe
from service.database.driver_methods import COPY_OUT_METHODS, TABLE_METHODS, Method
from service.database.options import DatabaseOptions
from service.database.pooled_connection import ConnectionPool, PooledConnection
from service.database.session_state import effects_of
from service.database.stale_errors import is_stale, may_be_stale
from service.database.stale_statements import retry_stale

logger = logging.getLogger("service.database")


class LeasePool(ConnectionPool, Protocol):
    """The part of the pool that leases and their holders use."""

    reports_slow_leases: bool

    def check_loop(self) -> None:
        """Raise `WrongEventLoop` in another event loop than the pool's."""

    def give_back(self, lease: Lease) -> float:
        """Take a lease back, and return the seconds for which it was held."""


class Lease(PooledConnection):
    """One pooled connection and the pool's records of it. It lives as long as its connection."""

    __slots__ = ("call_site", "expires_at", "holder", "idle_since", "reported_slow")

    pool: LeasePool

    def __init__(
        self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], pool: LeasePool, max_lifetime: float
    ) -> None:
        super().__init__(connection, pool)
        self.expires_at = _renewal_time(max_lifetime)
        self.idle_since = monotonic()
        self.holder: str | None = None
        """The name of the scope that has it, for messages; `None` while it is in the pool."""
        self.call_site: CallSite | None = None
        """The line of code that leased it; recorded only if slow leases are logged."""
        self.reported_slow = False
        """Whether this lease was logged as slow."""

    async def send(
        self, method: Method, query: str, args: Iterable[Any], options: dict[str, Any], *, by_hand: bool = False
    ) -> Any:
        """Call asyncpg's method of this name on the connection. No other place looks up a method by its name.

        Args:
            method: The name of the method.
            query: The SQL, or the name of a table for COPY.
            args: The method's further positional arguments.
            options: The method's keyword arguments.
            by_hand: Whether the SQL may begin and end transactions while no transaction block is open.

        Raises:
            DatabaseUnavailable: The connection is lost, the command timeout expired, or the server is a standby.
        """
        effects = effects_of(query)
        if effects and method not in TABLE_METHODS:
            self.check_effects(effects, by_hand=by_hand)
        self.statements += 1
        self.pool.totals.statements += 1
        timeout = options.get("timeout")
        call = getattr(self.raw, method)
        try:
            if timeout is not None and self.pool.statement_timeout.is_shorter_than(timeout):
                return await self.with_longer_timeout(partial(call, query, *args, **options), timeout)
            return await call(query, *args, **options)
        except BaseException as error:
            if is_stale(error) or may_be_stale(error, method):
                return await retry_stale(self, error, method, partial(call, query, *args, **options))
            self.translate(error, timeout, copy_out_failed=method in COPY_OUT_METHODS)
            raise

    def report_if_slow(self, held: float, limit: float) -> None:
        """Log once that it is held for more than `limit` seconds; a limit of 0 is no limit."""
        if 0 < limit < held and not self.reported_slow:
            self.reported_slow = True
            line = self.call_site and describe(self.call_site)
            taken = f", taken at {line}" if line else ""
            logger.warning("%s has held a connection for %.3f s%s", self.holder, held, taken)

    async def reset(self, driver: asyncpg.Pool[asyncpg.Record], options: DatabaseOptions) -> None:
        """Roll back an open transaction, and have asyncpg's pool reset the session.

        After `max_queries` statements asyncpg's pool replaces the connection. Raise what the driver raises.
        """
        await self.settle()
        if self.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("it was lost")
        if self.is_in_transaction():
            await self.connection.execute("ROLLBACK")
        await driver.release(self.connection)
        self.backend = None
        self.attach(await driver.acquire())
        totals = self.pool.totals
        totals.resets += 1
        if self.statements >= options.max_queries:  # asyncpg's pool has replaced the connection
            totals.opened += 1
            totals.closed += 1
            self.expires_at = _renewal_time(options.max_lifetime)
        self.statements = 0
        self.tainted = False
        self.in_transaction = False


def _renewal_time(max_lifetime: float) -> float:
    """Return when to renew a connection opened now, on the monotonic clock: up to a tenth early, to spread renewals."""
    if not max_lifetime:
        return float("inf")
    return monotonic() + max_lifetime * random.uniform(0.9, 1.0)  # noqa: S311 - jitter, not a secret
