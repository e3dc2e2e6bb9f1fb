"""A stream of bytes as lines, and the mistakes found in them."""

import asyncio
import codecs
from collections.abc import AsyncIterator

from service.items.bulk.errors import BadLines, Mistake

LINE_BYTES = 128 * 1024
"""Bytes of the longest line. The largest item takes 120 KiB with all its characters escaped."""
_BATCH = 500
"""Lines read before other tasks get a turn: about a millisecond."""
_MAX_MISTAKES = 100
_MAX_MISTAKES_OF_LINE = 5
_MAX_CHARACTERS = 200
"""Of a mistake's place and of its message, which may quote the line."""


class Mistakes:
    """Collects the mistakes of up to a hundred lines."""

    def __init__(self) -> None:
        self._lines = 0
        self._found: list[Mistake] = []

    def add(self, number: int, *found: Mistake) -> None:
        """Note the mistakes of a line. Raises `BadLines` at the hundredth bad line: reading on would be of no use."""
        for place, words in found[:_MAX_MISTAKES_OF_LINE]:
            where = f"line {number}.{place}" if place else f"line {number}"
            self._found.append((where[:_MAX_CHARACTERS], words[:_MAX_CHARACTERS]))
        self._lines += 1
        if self._lines == _MAX_MISTAKES:
            end = f"{_MAX_MISTAKES} lines are wrong up to line {number}, where reading ended; there may be more"
            raise BadLines([*self._found, ("body", end)])

    def check(self) -> None:
        """Raise `BadLines` if there are mistakes."""
        if self._found:
            raise BadLines(self._found)


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yield all lines without their line feeds, in batches between which other tasks get a turn.

    A line longer than `LINE_BYTES` is cut one byte after that limit.
    """
    first = True
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[: LINE_BYTES + 1]
        for start in range(0, len(lines), _BATCH):
            yield _without_mark(lines[start : start + _BATCH], first)
            first = False
            await asyncio.sleep(0)
    if rest:
        yield _without_mark([rest], first)


def _without_mark(lines: list[bytes], first: bool) -> list[bytes]:
    return [lines[0].removeprefix(codecs.BOM_UTF8), *lines[1:]] if first else lines
