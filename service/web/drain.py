"""Stopping without a failed request: what happens between SIGTERM and the end of the server.

uvicorn closes its listener and every idle keep-alive connection at once, and a client that sends its next request on one
of them meets a reset. So the signal is held back for a moment: readiness says 503, each answer says `Connection: close`,
and clients leave by themselves. Then the listener closes, and uvicorn gets its signal.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from service.web.settings import HttpSettings

logger = logging.getLogger("service")

_STRAGGLERS = 0.2
"""Seconds between closing the listener and the server's own shutdown: connections that were accepted last send a request."""


class Drain:
    """Whether the service is stopping."""

    def __init__(self, settings: HttpSettings) -> None:
        self._seconds = settings.drain_seconds
        self.active = False

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """While this is open, SIGTERM drains first. A second one, like Ctrl-C, reaches the server at once.

        It takes the place of the handler that the server has set, and gives way to it. Outside the main thread, where no
        handler can be set, it does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        servers_own = signal.getsignal(signal.SIGTERM)
        if not callable(servers_own):  # nobody waits for SIGTERM: the process ends by it
            yield
            return
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, lambda *received: self._begin(loop, servers_own, *received))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, servers_own)

    def _begin(
        self, loop: asyncio.AbstractEventLoop, servers_own: Callable[[int, FrameType | None], Any], number: int,
        frame: FrameType | None,
    ) -> None:  # fmt: skip
        if self.active:
            servers_own(number, frame)
            return
        self.active = True
        loop.call_soon_threadsafe(self._schedule, loop, servers_own, number)

    def _schedule(
        self, loop: asyncio.AbstractEventLoop, servers_own: Callable[[int, FrameType | None], Any], number: int
    ) -> None:
        logger.info("draining for %g s before the server stops", self._seconds)
        loop.call_later(self._seconds, _close_listeners, servers_own)
        loop.call_later(self._seconds + _STRAGGLERS, servers_own, number, None)


def _close_listeners(servers_own: Callable[..., Any]) -> None:
    """The handler of uvicorn is a method of its server, which knows its listeners. Another server closes them in its shutdown."""
    for listener in getattr(getattr(servers_own, "__self__", None), "servers", ()):
        listener.close()
