"""The event loop that a pool belongs to."""

import asyncio
from threading import get_ident

from service.database.errors import WrongEventLoop


class BoundLoop:
    """The event loop that runs when this is created."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._thread = get_ident()

    def check(self) -> None:
        """Raise `WrongEventLoop` in another loop."""
        # asyncio.get_running_loop() calls os.getpid(): ask only if the thread does not answer the question
        here = get_ident() == self._thread and self.loop.is_running()
        if not here and asyncio.get_running_loop() is not self.loop:
            raise WrongEventLoop(
                "the pool belongs to another event loop: from a worker thread, "
                "call `anyio.from_thread.run(...)` instead of `asyncio.run(...)`"
            )
