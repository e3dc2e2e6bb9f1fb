"""Lines to items: JSON lines and CSV."""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from pydantic import ValidationError

from service.items.bulk.errors import BadLines, Mistake
from service.items.bulk.lines import LINE_BYTES, Mistakes
from service.items.schemas import NewItem
from service.web.input import message_of

_HEADER = ["title", "description"]
_RECORD_LINES = 11_000
"""Lines of the longest record: an item's texts cannot hold more line feeds. Half a record is read again with the next chunk."""


class Reader(Protocol):
    """Makes items from lines, and notes the mistakes of bad lines."""

    def __init__(self, mistakes: Mistakes) -> None: ...

    def items(self, lines: Sequence[bytes], *, last: bool = False) -> Iterator[NewItem]:
        """Yield the complete items in the next lines. `last`: these are the last lines."""


class JsonLines:
    """Reads an item from each line of JSON. Skips blank lines."""

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._number = 0

    def items(self, lines: Sequence[bytes], *, last: bool = False) -> Iterator[NewItem]:  # noqa: ARG002, D102
        for line in lines:
            self._number += 1
            if len(line) > LINE_BYTES:
                self._mistakes.add(self._number, ("", f"longer than {LINE_BYTES} bytes"))
            elif line and not line.isspace():
                try:
                    item = NewItem.model_validate_json(line)
                except ValidationError as error:
                    self._mistakes.add(self._number, *_mistakes(error))
                else:
                    yield item


class CsvLines:
    """Reads an item from each record below the header `title,description`. An empty description is null. Skips blank lines."""

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._source = _Source()
        self._records = csv.reader(self._source, strict=True)
        self._header_seen = False

    def items(self, lines: Sequence[bytes], *, last: bool = False) -> Iterator[NewItem]:  # noqa: D102 - as in Reader
        self._source.feed(lines, last=last)
        for number, record in self._complete():
            if not self._header_seen:
                _check_header(number, record)
                self._header_seen = True
            elif len(record) != len(_HEADER):
                self._mistakes.add(number, ("", f"number of fields: {len(record)} instead of {len(_HEADER)}"))
            else:
                try:
                    item = NewItem(title=record[0], description=record[1] or None)
                except ValidationError as error:
                    self._mistakes.add(number, *_mistakes(error))
                else:
                    yield item

    def _complete(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each complete record with the number of its first line."""
        while True:
            number = self._source.begin()
            try:
                record = next(self._records)
            except StopIteration:
                return
            except _Incomplete:
                self._source.unread()
                return
            except UnicodeDecodeError:
                self._mistakes.add(number, ("", "is not UTF-8"))
            except csv.Error as error:
                self._mistakes.add(number, ("", str(error).partition(" - ")[0]))  # the rest is for programmers
            else:
                if record:
                    yield number, record


class _Incomplete(Exception):
    """All lines so far have been read, and more will follow."""


class _Source:
    """The lines that csv.reader reads. An incomplete record is put back, and read again when more lines have come."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._record: list[bytes] = []
        self._record_bytes = 0
        self._number = 0
        self._last = False

    def feed(self, lines: Sequence[bytes], *, last: bool) -> None:
        """Add lines. `last`: these are the last ones."""
        self._lines.extend(lines)
        self._last = last

    def begin(self) -> int:
        """Forget the lines of the previous record. Return the number of the next line."""
        self._number += len(self._record)
        self._forget()
        return self._number + 1

    def unread(self) -> None:
        """Put the record's lines back."""
        self._lines.extendleft(reversed(self._record))
        self._forget()

    def _forget(self) -> None:
        self._record.clear()
        self._record_bytes = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._lines:
            raise StopIteration if self._last else _Incomplete
        line = self._lines.popleft()
        self._record.append(line)
        self._record_bytes += len(line)
        if self._record_bytes > LINE_BYTES or len(self._record) > _RECORD_LINES:
            raise csv.Error("too long for an item; is a quotation mark not closed?")
        return line.decode() + "\n"


def _check_header(number: int, record: list[str]) -> None:
    if record != _HEADER:
        raise BadLines([(f"line {number}", f"must be {','.join(_HEADER)}")])


def _mistakes(error: ValidationError) -> list[Mistake]:
    """Return the mistakes that pydantic found, with the column in the line, as pydantic would call each line the first."""
    return [
        (
            ".".join(str(part) for part in each["loc"]),
            message_of(each).replace(" at line 1 column ", " at column "),
        )
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
