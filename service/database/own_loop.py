"""The event loop that a pool belongs to."""

import asyncio
from threading import get_ident

from service.database.errors import WrongEventLoop


class OwnLoop:
    """The loop that runs where this is made."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._thread = get_ident()

    def check(self) -> None:
        """Raises `WrongEventLoop` in another loop."""
        # Asking for the running loop asks the system for the process: here only where the answer is in doubt.
        here = get_ident() == self._thread and self.loop.is_running()
        if not here and asyncio.get_running_loop() is not self.loop:
            raise WrongEventLoop(
                "the pool belongs to another event loop: from a worker thread, "
                "call `anyio.from_thread.run(...)` instead of `asyncio.run(...)`"
            )
