"""Connections kept ready above asyncpg's pool, handed out first come, first served.

asyncpg's pool opens, resets and closes connections. It is not asked for each lease: its `acquire` and `release` cost a
task, a timeout and a round trip each, and it is not fair (asyncpg #1247). Here an idle connection is popped from a list,
and one that comes back goes straight to whoever has waited longest.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sized
from time import monotonic

import asyncpg

from service.database.cancel import Strays, cancel_request
from service.database.errors import DatabaseUnavailable, PoolNotOpen, PoolTimeout
from service.database.failures import reason, unavailable
from service.database.lease import Lease
from service.database.options import DatabaseOptions
from service.database.own_loop import OwnLoop
from service.database.stats import Stats, Totals
from service.database.tasks import Tasks
from service.database.time_limit import StatementLimit
from service.database.wait_queue import WaitQueue

logger = logging.getLogger("service.database")

_TIDY_INTERVAL = 1.0
"""Seconds between two looks at idle connections: expired, inactive, lost or too few."""


class Pool:
    """An open pool. `acquire_now` and `give_back` are synchronous: what needs the network happens in tasks of the pool."""

    def __init__(self, driver: asyncpg.Pool[asyncpg.Record], options: DatabaseOptions, limit: StatementLimit) -> None:
        self._driver = driver
        self.options = options
        own = OwnLoop()
        self.check_loop = own.check
        """Raises `WrongEventLoop` in another loop than the one that opened the pool."""
        self._leases: set[Lease] = set()
        self._idle: deque[Lease] = deque()
        self._line = WaitQueue(own.loop, options.acquire_timeout, self._late)
        self.waiters: Sized = self._line.waiters  # those who stand in line
        self._strays = Strays()
        self._tasks = Tasks(own.loop, options.application_name)
        self.spawn = self._tasks.spawn
        self._opening = 0
        self._leased = 0
        self._quiet = asyncio.Event()
        self._refusal: Exception | None = None
        """Why the last attempt to open a connection failed, until one succeeds."""
        self.totals = Totals()
        self.closing = False
        self.statement_limit = limit
        self.command_timeout = options.command_timeout
        self.reports_slow_leases = options.slow_lease > 0
        self._keeper = self._tasks.spawn(self._keep(), "keeper")

    def acquire_now(self, holder: str) -> Lease | None:
        """An idle connection, or `None` when the caller has to wait: `join_line()`.

        Raises `PoolNotOpen` when the pool is closing and `WrongEventLoop` in another loop than the pool's.
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

    def join_line(self) -> asyncio.Future[Lease]:
        """Stand in line for a connection: await what this gives, and hand it to `leave_line` whatever comes of it.

        Raises `PoolTimeout` when `max_waiting` others wait. Awaiting it raises that after `acquire_timeout` seconds, and
        `DatabaseUnavailable` when no connection can be opened.
        """
        waiting = len(self.waiters)
        if self._room():
            self._grow(waiting=waiting + 1)
        elif waiting >= self.options.max_waiting:
            self.totals.timeouts += 1
            raise PoolTimeout(f"{waiting} others wait for a connection already (max_waiting)")
        return self._line.join()

    def leave_line(self, waiter: asyncio.Future[Lease], *, served: bool) -> None:
        """The reverse of `join_line`. `served`: whether its connection was taken; one that nobody took comes back."""
        self._line.leave(waiter)
        if not served and waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.give_back(waiter.result())
        if self.closing:
            self._quiet.set()

    def when_nobody_waits(self, call: Callable[[], None]) -> None:
        """Call it once, in the event loop's next turn after the line has emptied."""
        self._line.when_empty(call)

    def _late(self) -> PoolTimeout:
        """What they are told who have waited for too long."""
        self.totals.timeouts += 1
        text = f"no connection became free within {self.options.acquire_timeout:g} s (acquire_timeout)"
        if self._refusal is None:
            return PoolTimeout(text)
        error = PoolTimeout(f"{text}, and no further one can be opened: {reason(self._refusal)}")
        error.__cause__ = self._refusal
        return error

    def _lend(self, lease: Lease) -> None:
        lease.taken_at = monotonic()
        lease.reported = False
        self._leased += 1
        self.totals.leases += 1

    def give_back(self, lease: Lease) -> float:
        """Take a connection back, and clean it first where that is needed. Gives the seconds for which it was held."""
        now = monotonic()
        held = now - lease.taken_at
        if self.reports_slow_leases:
            lease.report_if_slow(held, self.options.slow_lease)
        self.totals.hold_time += held
        self._leased -= 1
        lease.holder = None
        if self.closing:
            self._quiet.set()
        if lease.is_closed():
            self._drop(lease)
        elif lease.expires_at <= now or (self.closing and not self._line):
            self._tasks.spawn(self._retire(lease), "retire connection")
        elif lease.tainted or lease.in_transaction or lease.statements >= self.options.max_queries:
            self._tasks.spawn(self._clean(lease), "clean connection")
        else:
            self._offer(lease)
        return held

    def _offer(self, lease: Lease) -> None:
        """To whoever has waited longest, or to the idle ones."""
        if self._line.serve(lease):
            self._lend(lease)
        else:
            lease.idle_since = monotonic()
            self._idle.append(lease)

    async def _clean(self, lease: Lease) -> None:
        """What cannot be cleaned is closed."""
        try:
            async with asyncio.timeout(self.options.connect_timeout):
                await lease.reset(self._driver, self.options)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, the connection is closed
            logger.info("a connection could not be cleaned, and is closed: %r", error)
            self._drop(lease)
        else:
            self._offer(lease)

    async def _retire(self, lease: Lease) -> None:
        """Close a connection politely."""
        await lease.settle()
        if lease.is_closed():
            self._drop(lease)
            return
        self._leases.discard(lease)
        self.totals.closed += 1
        try:
            await lease.connection.close(timeout=self.options.connect_timeout)
        except Exception:  # noqa: BLE001 - whatever the driver raises, the connection is ended
            lease.terminate()
        self._grow()

    def _drop(self, lease: Lease) -> None:
        """Forget a connection that is lost."""
        self._leases.discard(lease)
        self.totals.closed += 1
        if lease.tainted and lease.backend is not None:
            self._strays.add(lease.backend)
        lease.terminate()
        self._grow()

    def renew(self) -> None:
        """Replace each connection, as soon as it is idle."""
        for lease in self._leases:
            lease.expires_at = 0.0

    def _room(self) -> bool:
        return len(self._leases) + self._opening < self.options.max_size

    def _grow(self, *, waiting: int | None = None, wanted: int = 0) -> None:
        """Open what is missing for those who wait, or up to `wanted` connections; for strays, one that ends them."""
        waiting = max(len(self._line), min(1, len(self._strays))) if waiting is None else waiting
        while self._room() and (self._opening < waiting or len(self._leases) + self._opening < wanted):
            self._opening += 1
            self._tasks.spawn(self._open_one(), "open connection")

    async def _open_one(self) -> None:
        try:
            connection = await self._driver.acquire()
            await self._strays.end(connection)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, a waiter is told
            self._opening -= 1
            self._not_opened(error)
            return
        self._opening -= 1
        self._refusal = None
        self.totals.opened += 1
        lease = Lease(connection, self, self.options.max_lifetime)
        self._leases.add(lease)
        self._offer(lease)

    def _not_opened(self, error: Exception) -> None:
        if self._refusal is None or reason(self._refusal) != reason(error):
            logger.warning("cannot open a connection to PostgreSQL: %s", reason(error))
        self._refusal = error
        if self._leases:  # one of them will come back, and those who wait get it
            return
        failure: Exception = error
        if not isinstance(error, DatabaseUnavailable):
            failure = unavailable(error)
            failure.__cause__ = error
        self._line.fail(failure)
        self._grow(waiting=len(self._line))  # for each who waits one attempt; strays are left to the keeper

    async def fill(self) -> None:
        """Open `min_size` connections, and wait until each of them is open or has failed."""
        self._grow(wanted=self.options.min_size)
        if self._opening:
            await self._tasks.wait_beside(self._keeper)

    async def _keep(self) -> None:
        while True:  # until `close` cancels it
            await asyncio.sleep(_TIDY_INTERVAL)
            self._tidy()
            self._grow(wanted=self.options.min_size)

    def _tidy(self) -> None:
        now = monotonic()
        for lease in self._leases:
            if lease.holder is not None:
                lease.report_if_slow(now - lease.taken_at, self.options.slow_lease)
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
        """Let those who hold or wait for a connection finish, for `shutdown_timeout` seconds; then end all connections."""
        self.closing = True
        self._keeper.cancel()
        try:
            if self._leased or self._line:
                await self._wait_for_leases()
            await self._end_politely()
            cut_off = [cancel_request(lease.raw) for lease in self._leases if not lease.is_closed()]
        finally:
            self._driver.terminate()
        await asyncio.gather(*cut_off)  # else PostgreSQL would go on with what nobody waits for

    async def _end_politely(self) -> None:
        while self._line:  # each turn takes one out
            self._line.fail(PoolNotOpen("the pool was closed while this waited for a connection"))
        self._line.close()
        while self._idle:
            self._tasks.spawn(self._retire(self._idle.pop()), "retire connection")
        await self._tasks.end(self.options.connect_timeout)
        self._idle.clear()
        self._leases = {lease for lease in self._leases if lease.holder}

    async def _wait_for_leases(self) -> None:
        try:
            async with asyncio.timeout(self.options.shutdown_timeout):
                while self._leased or self._line:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            holders = sorted(lease.holder for lease in self._leases if lease.holder)
            logger.warning(
                "closing the pool after %g s although connections are in use, by: %s",
                self.options.shutdown_timeout,
                ", ".join(holders) or "nobody",
            )

    def stats(self) -> Stats:
        """The pool at this moment."""
        totals, waiting = self.totals.copy(), len(self._line)
        return Stats(size=len(self._leases), idle=len(self._idle), leased=self._leased, waiting=waiting, totals=totals)
