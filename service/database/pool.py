"""Open connections on top of asyncpg's pool, leased in FIFO order.

asyncpg's pool opens, resets and closes connections. Leases do not go through it: its `acquire` and `release` cost a task, a
timeout and a round trip each, and it is not fair (asyncpg #1247). Here an idle connection is popped from a list, and a
returned one goes to the first waiter.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sized
from time import monotonic

import asyncpg

from service.database.background_tasks import BackgroundTasks
from service.database.cancel import OrphanedBackends, cancel_request
from service.database.driver_errors import reason, unavailable
from service.database.errors import DatabaseUnavailable, PoolNotOpen, PoolTimeout
from service.database.event_loop import BoundLoop
from service.database.lease import Lease
from service.database.options import DatabaseOptions
from service.database.statement_timeout import StatementTimeout
from service.database.stats import Stats, Totals
from service.database.wait_queue import WaitQueue

logger = logging.getLogger("service.database")

_HOUSEKEEPING_INTERVAL_SECONDS = 1.0
"""How often idle connections are checked: expired, inactive, lost or too few."""


class Pool:
    """An open pool. `acquire_now` and `give_back` are synchronous: work on the network is done in tasks of the pool."""

    def __init__(self, driver: asyncpg.Pool[asyncpg.Record], options: DatabaseOptions, limit: StatementTimeout) -> None:
        self._driver = driver
        self.options = options
        bound = BoundLoop()
        self.check_loop = bound.check
        """Raises `WrongEventLoop` in another loop than the one that opened the pool."""
        self._leases: set[Lease] = set()
        self._idle: deque[Lease] = deque()
        self._queue: WaitQueue[Lease] = WaitQueue(bound.loop, options.acquire_timeout, self._timeout_error)
        self.waiters: Sized = self._queue.waiters
        self._orphans = OrphanedBackends()
        self._tasks = BackgroundTasks(bound.loop, options.application_name)
        self.spawn = self._tasks.spawn
        self._opening = 0
        self._leased = 0
        self._progress = asyncio.Event()
        self._open_error: Exception | None = None
        """The last failure to open a connection; `None` after a success."""
        self.totals = Totals()
        self.closing = False
        self.statement_timeout = limit
        self.reports_slow_leases = options.slow_lease > 0
        self._housekeeper = self._tasks.spawn(self._keep_house(), "housekeeper")

    def acquire_now(self, holder: str) -> Lease | None:
        """Lease an idle connection to a scope; return `None` if it has to wait with `join_queue()`.

        Raise `PoolNotOpen` if the pool is closing, and `WrongEventLoop` in another loop than the pool's.
        """
        if self.closing:
            raise PoolNotOpen("the pool is closing: no new statement can start")
        self.check_loop()
        while self._idle:
            lease = self._idle.pop()
            if not lease.is_closed():
                self._lend(lease)
                lease.holder = holder
                return lease
            self._drop(lease)
        return None

    def join_queue(self) -> asyncio.Future[Lease]:
        """Return a future for a connection. Await it, and then pass it to `leave_queue` with its outcome.

        The future raises `PoolTimeout` after `acquire_timeout`, and `DatabaseUnavailable` if no connection can be opened.
        Raise `PoolTimeout` if `max_waiting` others wait already.
        """
        waiting = len(self.waiters)
        if self._has_room():
            self._grow(waiting=waiting + 1)
        elif waiting >= self.options.max_waiting:
            self.totals.timeouts += 1
            raise PoolTimeout(f"{waiting} others are already waiting for a connection (max_waiting)")
        return self._queue.join()

    def leave_queue(self, waiter: asyncio.Future[Lease], *, served: bool) -> None:
        """Remove a waiter from the queue. Unless it was `served`, give back a connection that its future holds."""
        self._queue.leave(waiter)
        if not served and waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.give_back(waiter.result())
        if self.closing:
            self._progress.set()

    def when_nobody_waits(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, in the event loop's next turn after the queue has emptied."""
        self._queue.when_empty(callback)

    def _timeout_error(self) -> PoolTimeout:
        """Return the error for a waiter past `acquire_timeout`."""
        self.totals.timeouts += 1
        text = f"no connection became free within {self.options.acquire_timeout:g} s (acquire_timeout)"
        if self._open_error is None:
            return PoolTimeout(text)
        error = PoolTimeout(f"{text}, and no further one can be opened: {reason(self._open_error)}")
        error.__cause__ = self._open_error
        return error

    def _lend(self, lease: Lease) -> None:
        lease.leased_at = monotonic()
        lease.reported_slow = False
        self._leased += 1
        self.totals.leases += 1

    def give_back(self, lease: Lease) -> float:
        """Take a connection back, and clean it if needed. Return the seconds for which it was held."""
        now = monotonic()
        held = now - lease.leased_at
        if self.reports_slow_leases:
            lease.report_if_slow(held, self.options.slow_lease)
        self.totals.hold_time += held
        self._leased -= 1
        lease.holder = None
        if self.closing:
            self._progress.set()
        if lease.is_closed():
            self._drop(lease)
        elif lease.expires_at <= now or (self.closing and not self._queue):
            self._tasks.spawn(self._retire(lease), "retire connection")
        elif lease.tainted or lease.in_transaction or lease.statements >= self.options.max_queries:
            self._tasks.spawn(self._clean(lease), "clean connection")
        else:
            self._offer(lease)
        return held

    def _offer(self, lease: Lease) -> None:
        """Hand a clean connection to the first waiter, or add it to the idle ones."""
        if self.waiters and self._queue.serve(lease):
            self._lend(lease)
        else:
            lease.idle_since = monotonic()
            self._idle.append(lease)

    async def _clean(self, lease: Lease) -> None:
        """Reset a connection; drop it if that fails."""
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                await lease.reset(self._driver, self.options)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, the connection is dropped
            logger.info("could not reset a connection; closing it: %r", error)
            self._drop(lease)
        else:
            self._offer(lease)

    async def _retire(self, lease: Lease) -> None:
        """Close a connection with asyncpg's `close`, which tells the server; terminate it if that fails."""
        await lease.settle()
        if lease.is_closed():
            self._drop(lease)
            return
        self._leases.discard(lease)
        self.totals.closed += 1
        try:
            await lease.connection.close(timeout=self.options.connect_timeout)
        except Exception:  # noqa: BLE001 - whatever the driver raises, the connection is terminated
            lease.terminate()
        self._grow()

    def _drop(self, lease: Lease) -> None:
        """Remove a lost connection, and end its server process if a statement may still run there."""
        self._leases.discard(lease)
        self.totals.closed += 1
        if lease.tainted and lease.backend is not None:
            self._orphans.add(lease.backend)
        lease.terminate()
        self._grow()

    def renew(self) -> None:
        """Replace each connection as soon as it is idle."""
        for lease in self._leases:
            lease.expires_at = 0.0

    def _has_room(self) -> bool:
        return len(self._leases) + self._opening < self.options.max_size

    def _grow(self, *, waiting: int | None = None, wanted: int = 0) -> None:
        """Open connections for the waiters, or up to `wanted`; at least one if there are orphans to end."""
        waiting = max(len(self._queue), min(1, len(self._orphans))) if waiting is None else waiting
        while self._has_room() and (self._opening < waiting or len(self._leases) + self._opening < wanted):
            self._opening += 1
            self._tasks.spawn(self._open_one(), "open connection")

    async def _open_one(self) -> None:
        try:
            connection = await self._driver.acquire()
            await self._orphans.end(connection)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, a waiter gets it
            self._opening -= 1
            self._open_failed(error)
            return
        self._opening -= 1
        self._open_error = None
        self.totals.opened += 1
        lease = Lease(connection, self, self.options.max_lifetime)
        self._leases.add(lease)
        self._offer(lease)

    def _open_failed(self, error: Exception) -> None:
        if self._open_error is None or reason(self._open_error) != reason(error):
            logger.warning("cannot open a connection to PostgreSQL: %s", reason(error))
        self._open_error = error
        if self._leases:  # a waiter gets the next one that comes back
            return
        failure: Exception = error
        if not isinstance(error, DatabaseUnavailable):
            failure = unavailable(error)
            failure.__cause__ = error
        self._queue.fail(failure)
        self._grow(waiting=len(self._queue))  # one attempt for each waiter; the housekeeper retries for orphans

    async def fill(self) -> None:
        """Open `min_size` connections, and wait until each is open or has failed."""
        self._grow(wanted=self.options.min_size)
        if self._opening:
            await self._tasks.wait_except(self._housekeeper)

    async def _keep_house(self) -> None:
        while True:  # until `close` cancels it
            await asyncio.sleep(_HOUSEKEEPING_INTERVAL_SECONDS)
            self._check_idle()
            self._grow(wanted=self.options.min_size)

    def _check_idle(self) -> None:
        now = monotonic()
        for lease in self._leases:
            if lease.holder is not None:
                lease.report_if_slow(now - lease.leased_at, self.options.slow_lease)
        spare = len(self._leases) - self.options.min_size
        idle, self._idle = self._idle, deque()
        for lease in idle:
            limit = self.options.max_inactive_lifetime
            inactive = spare > 0 < limit < now - lease.idle_since
            if lease.is_closed():
                self._drop(lease)
            elif inactive or lease.expires_at <= now:
                self._tasks.spawn(self._retire(lease), "retire connection")
            else:
                self._idle.append(lease)
                continue
            spare -= 1

    async def close(self) -> None:
        """Wait `shutdown_timeout` seconds for leases and waiters to finish, then close all connections."""
        self.closing = True
        self._housekeeper.cancel()
        try:
            if self._leased or self._queue:
                await self._wait_for_leases()
            await self._close_idle()
            cut_off = [cancel_request(lease.raw) for lease in self._leases if not lease.is_closed()]
        finally:
            self._driver.terminate()
        await asyncio.gather(*cut_off)  # PostgreSQL would go on with their statements

    async def _close_idle(self) -> None:
        while self._queue:  # each turn takes one out
            self._queue.fail(PoolNotOpen("the pool was closed while this waited for a connection"))
        self._queue.close()
        while self._idle:
            self._tasks.spawn(self._retire(self._idle.pop()), "retire connection")
        await self._tasks.end(self.options.connect_timeout)
        self._idle.clear()
        self._leases = {lease for lease in self._leases if lease.holder}

    async def _wait_for_leases(self) -> None:
        try:
            async with asyncio.timeout(self.options.shutdown_timeout):
                while self._leased or self._queue:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            holders = sorted(lease.holder for lease in self._leases if lease.holder)
            logger.warning(
                "closing the pool after %g s although connections are still in use by: %s",
                self.options.shutdown_timeout,
                ", ".join(holders) or "no scope",
            )

    def stats(self) -> Stats:
        """Return the present figures of the pool."""
        totals, waiting = self.totals.copy(), len(self._queue)
        return Stats(size=len(self._leases), idle=len(self._idle), leased=self._leased, waiting=waiting, totals=totals)
