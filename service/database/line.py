"""Those who wait for a connection, first come, first served."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from service.database.errors import PoolTimeout
from service.database.lease import Lease


class Line:
    """A queue of waiters. `unclaimed` takes a connection whose waiter was cancelled in the moment in which it came."""

    def __init__(self, unclaimed: Callable[[Lease], object]) -> None:
        self._waiters: OrderedDict[asyncio.Future[Lease], None] = OrderedDict()
        self._unclaimed = unclaimed

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, seconds: float) -> Lease:
        """Stand in line, at most so many seconds. Raises `PoolTimeout` after that, and what `fail` was given."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Lease] = loop.create_future()
        self._waiters[waiter] = None
        timer = loop.call_later(seconds, _give_up, waiter, seconds)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._unclaimed(waiter.result())
            raise
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def serve(self, lease: Lease) -> bool:
        """Give a connection to whoever has waited longest. `False` when nobody waits."""
        waiter = self._first()
        if waiter is None:
            return False
        waiter.set_result(lease)
        return True

    def fail(self, error: Exception) -> bool:
        """Raise an error in whoever has waited longest. `False` when nobody waits."""
        waiter = self._first()
        if waiter is None:
            return False
        waiter.set_exception(error)
        return True

    def _first(self) -> asyncio.Future[Lease] | None:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None


def _give_up(waiter: asyncio.Future[Lease], seconds: float) -> None:
    if not waiter.done():  # pragma: no branch - it is, when both happen in one turn of the event loop
        waiter.set_exception(PoolTimeout(f"no connection became free within {seconds:g} s (acquire_timeout)"))
