"""When what clients send is read, while there is more of it than can be answered at once.

A request that is read takes its place in the line for a connection, with all that it is made of: some 20 KB that have left the
processor's cache when its turn comes. And a service that reads one, answers one, reads one has the code for the other never
at hand. So requests are read when nobody waits in that line any more, and then many in a row. docs/performance.md has what
that gives. The switch is `performance.batched_admission`; it takes the protocol in `service.web.server.protocol` to work.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from service.database import Database

ADMISSION = "poolkeeper.admission"
"""Where the server's protocol finds it, in the state of the application."""

_SHORT_LINE = 10
"""So few who wait are no reason to keep anything back: batches would be too small to gain by."""
_BATCH = 64
"""So many requests, with all that they are made of, have room in the second-level cache of a processor of today: 1 to 2 MB."""
_LONGEST = 0.25
"""Seconds. Where connections are held for long, the line does not empty, and it is the line that bounds the wait."""


class Admission:
    """Keeps back what clients send while many wait for a connection, and reads it in batches, first come, first served.

    It makes nobody wait longer, but for the `_LONGEST` seconds that a request without statements may wait for those with some.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._watches = False
        """Whether the database has been asked to say when nobody waits."""

    def is_open(self) -> bool:
        """Whether what is sent now is to be read now. Where the line is full, all is: whoever is refused is told at once."""
        waiting = len(self._database.waiters)
        if waiting < _SHORT_LINE and not self._kept:
            return True
        if waiting < self._database.options.max_waiting:
            return False
        while self._kept:
            self._read_first()
        return True

    def keep(self, read: Callable[[], None]) -> None:
        """Read it later. `read` raises nothing: it may be called where somebody else's request is read."""
        loop = asyncio.get_running_loop()
        if not self._kept:
            self._timer = loop.call_later(_LONGEST, self._read_overdue)
            self._watch()
        self._kept.append((loop.time(), read))

    def _read_batch(self) -> None:
        """Read what has waited longest, unless those who were read before now wait for connections."""
        self._watches = False
        for _ in range(0 if self._database.waiters else min(_BATCH, len(self._kept))):
            self._read_first()
        if self._kept:
            self._watch()

    def _watch(self) -> None:
        if not self._watches:
            self._watches = True
            self._database.when_nobody_waits(self._read_batch)

    def _read_overdue(self) -> None:
        """Read what has been kept for long enough, whoever waits."""
        loop = asyncio.get_running_loop()
        while self._kept and self._kept[0][0] + _LONGEST <= loop.time():
            self._read_first()
        if self._kept:
            self._timer = loop.call_at(self._kept[0][0] + _LONGEST, self._read_overdue)

    def _read_first(self) -> None:
        _, read = self._kept.popleft()
        if not self._kept and self._timer is not None:
            self._timer.cancel()
        read()
