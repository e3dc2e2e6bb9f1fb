"""How many connections imports and exports may hold, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from service.items.bulk.errors import TookTooLong, TooManyAtOnce
from service.items.bulk.settings import BulkSettings


class BulkSlots:
    """Bounds the imports and exports of this process, and the time of each. The next one is refused.

    Each holds a connection while its client sends or reads. Without a bound, slow clients would use up the pool.
    """

    def __init__(self, settings: BulkSettings, slots: int) -> None:
        self.free = slots
        self.seconds = settings.max_seconds
        """Time limit of each import or export."""

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a slot until the end of the block. Raises `TooManyAtOnce` at once if no slot is free."""
        if self.free == 0:
            raise TooManyAtOnce
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Cut off the block at the time limit with `TookTooLong`.

        Use it inside the transaction: a COMMIT that is cut off would leave the outcome unknown.
        """
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError as error:
            raise TookTooLong(f"Not done within {self.seconds:g} seconds") from error
