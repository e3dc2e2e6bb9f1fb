"""What a pool does beside its callers."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("service.database")


class Tasks:
    """Tasks with names, whose failures are logged."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: str) -> None:
        self._loop = loop
        self._owner = owner
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Do it in a task of its own."""
        task = self._loop.create_task(work, name=f"{self._owner} pool: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("%s failed: %r", task.get_name(), error, exc_info=error)

    async def wait_beside(self, endless: asyncio.Task[None]) -> None:
        """Wait until all that there are now have ended, but for one that has no end."""
        await asyncio.wait(self._tasks - {endless})

    async def end(self, timeout: float) -> None:
        """Wait for all of them for so many seconds, and cancel the rest."""
        if not self._tasks:
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=timeout)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
