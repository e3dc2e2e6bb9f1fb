"""How much of the pool imports and exports may hold, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from service.items.bulk.errors import TookTooLong, TooManyAtOnce
from service.items.bulk.settings import BulkSettings


class BulkSlots:
    """Lets a few imports and exports of this process run at once, each for a limited time, and refuses the next.

    Each keeps a connection for as long as its client sends or reads. Without a bound, slow clients would take the pool.
    """

    def __init__(self, settings: BulkSettings, slots: int) -> None:
        self.free = slots
        self.seconds = settings.max_seconds
        """The longest that one may run."""

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A slot until the end of the block. Raises `TooManyAtOnce` when none is free: nobody waits for one."""
        if self.free == 0:
            raise TooManyAtOnce
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """A block that is cut off at the limit: it raises `TookTooLong` then.

        It belongs inside the transaction: COMMIT, cut off, would leave the outcome unknown.
        """
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError as error:
            raise TookTooLong(f"Not done within {self.seconds:g} seconds") from error
