"""A FIFO queue of tasks that wait for something, with a time limit."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitQueue(Generic[T]):
    """A FIFO queue of waiters. Each waits for at most `seconds`, and then gets an error made by `timeout_error`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, timeout_error: Callable[[], Exception]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._timeout_error = timeout_error
        self.waiters: OrderedDict[asyncio.Future[T], float] = OrderedDict()
        """The waiters with their deadlines on the loop's clock. The first one's deadline is the earliest: one timer is enough."""
        self._timer: asyncio.TimerHandle | None = None
        self._when_empty: list[Callable[[], None]] = []
        """Callbacks to run once when the queue is empty."""

    def __len__(self) -> int:
        return len(self.waiters)

    def join(self) -> asyncio.Future[T]:
        """Return a new waiter at the end of the queue. Await it, and then `leave`."""
        waiter: asyncio.Future[T] = self._loop.create_future()
        self.waiters[waiter] = deadline = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        return waiter

    def leave(self, waiter: asyncio.Future[T]) -> None:
        """Remove a waiter that was served, failed or cancelled."""
        self.waiters.pop(waiter, None)
        if self._when_empty and not self.waiters:
            self._notify()

    def serve(self, item: T) -> bool:
        """Hand `item` to the first waiter. Return `False` if the queue is empty."""
        waiter = self._pop()
        if waiter is None:
            return False
        waiter.set_result(item)
        return True

    def fail(self, error: Exception) -> bool:
        """Raise `error` in the first waiter. Return `False` if the queue is empty."""
        waiter = self._pop()
        if waiter is None:
            return False
        waiter.set_exception(error)
        return True

    def when_empty(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the event loop's next turn after the queue has emptied, or in the next one if it is empty."""
        self._when_empty.append(callback)
        if not self.waiters:
            self._notify()

    def _notify(self) -> None:
        callbacks, self._when_empty = self._when_empty, []
        for callback in callbacks:
            self._loop.call_soon(callback)

    def close(self) -> None:
        """Cancel the timer, after the last waiter has left."""
        if self._timer is not None:
            self._timer.cancel()

    def _pop(self) -> asyncio.Future[T] | None:
        while self.waiters:  # each turn takes one out
            waiter, _ = self.waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None

    def _expire(self) -> None:
        """Fail the waiters past their deadline, and set the timer for the next one."""
        self._timer = None
        while self.waiters:  # each turn takes one out, or ends
            deadline = next(iter(self.waiters.values()))
            if deadline > self._loop.time():
                self._timer = self._loop.call_at(deadline, self._expire)
                return
            self.fail(self._timeout_error())
