"""A stream of bytes as lines, and what is wrong with which of them."""

import asyncio
import codecs
from collections.abc import AsyncIterator

from service.items.bulk.errors import BadLines, Mistake

LINE_BYTES = 128 * 1024
"""The longest line: the largest item takes 120 KiB with all its characters escaped."""
_BATCH = 500
"""Lines from one turn of the event loop to the next: about a millisecond."""
_MOST_MISTAKES = 100
_MOST_OF_A_LINE = 5
_MOST_CHARACTERS = 200
"""Of a mistake's place and words, which may quote the line."""


class Mistakes:
    """Collects what is wrong with lines, up to a hundred of them."""

    def __init__(self) -> None:
        self._lines = 0
        self._found: list[Mistake] = []

    def add(self, number: int, *found: Mistake) -> None:
        """Note what is wrong with a line. Raises `BadLines` at the hundredth: it is of no use to read on."""
        for place, words in found[:_MOST_OF_A_LINE]:
            where = f"line {number}.{place}" if place else f"line {number}"
            self._found.append((where[:_MOST_CHARACTERS], words[:_MOST_CHARACTERS]))
        self._lines += 1
        if self._lines == _MOST_MISTAKES:
            end = f"{_MOST_MISTAKES} lines are wrong up to line {number}, and there may be more: reading ended there"
            raise BadLines([*self._found, ("body", end)])

    def check(self) -> None:
        """Raises `BadLines` when anything is wrong."""
        if self._found:
            raise BadLines(self._found)


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """All lines without their line feeds, some at a time; other tasks have their turn in between.

    Of a line longer than `LINE_BYTES` so much is kept that one can tell.
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
