"""The background tasks of a pool."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("service.database")


class BackgroundTasks:
    """A set of named tasks. Their failures are logged."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: str) -> None:
        self._loop = loop
        self._owner = owner
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` in a new task."""
        task = self._loop.create_task(work, name=f"{self._owner} pool: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("%s failed: %r", task.get_name(), error, exc_info=error)

    async def wait_except(self, endless: asyncio.Task[None]) -> None:
        """Wait until the present tasks have ended, except for one that does not end."""
        await asyncio.wait(self._tasks - {endless})

    async def end(self, timeout: float) -> None:
        """Wait for all tasks for `timeout` seconds, and cancel the unfinished ones."""
        if not self._tasks:
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=timeout)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
