"""Those who wait for a connection, first come, first served."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from service.database.lease import Lease


class WaitQueue:
    """A queue of waiters, each of whom waits for at most `seconds`, and then gets the error that `late` gives."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, late: Callable[[], Exception]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._late = late
        self.waiters: OrderedDict[asyncio.Future[Lease], float] = OrderedDict()
        """With the loop's time at which each gives up: the first in line is the first to do so, and one timer is enough."""
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: list[Callable[[], None]] = []
        """Called once, when nobody stands in line."""

    def __len__(self) -> int:
        return len(self.waiters)

    def join(self) -> asyncio.Future[Lease]:
        """A new waiter, at the end of the line. Await it, and `leave` afterwards."""
        waiter: asyncio.Future[Lease] = self._loop.create_future()
        self.waiters[waiter] = until = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._give_up)
        return waiter

    def leave(self, waiter: asyncio.Future[Lease]) -> None:
        """Stand in line no more, whatever came of it."""
        self.waiters.pop(waiter, None)
        if self._watchers and not self.waiters:
            self._tell()

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

    def when_empty(self, watcher: Callable[[], None]) -> None:
        """Call it in the event loop's next turn after the line has emptied, or in the next one if it is empty."""
        self._watchers.append(watcher)
        if not self.waiters:
            self._tell()

    def _tell(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            self._loop.call_soon(watcher)

    def close(self) -> None:
        """Forget the time: nobody comes any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _first(self) -> asyncio.Future[Lease] | None:
        while self.waiters:  # each turn takes one out
            waiter, _ = self.waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None

    def _give_up(self) -> None:
        """Tell those whose time is over, and look again when that of the next is."""
        self._timer = None
        while self.waiters:  # each turn takes one out, or ends
            until = next(iter(self.waiters.values()))
            if until > self._loop.time():
                self._timer = self._loop.call_at(until, self._give_up)
                return
            self.fail(self._late())
