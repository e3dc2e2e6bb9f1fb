"""Which line of code asked for a connection."""

import asyncio
import sys
from pathlib import Path
from types import CodeType

_THIS_PACKAGE = str(Path(__file__).parent)

_ASYNCIO = str(Path(asyncio.__file__).parent)

_NEAREST = 4
"""So many calls up is whoever asked, or still this package: to begin there makes no objects of the frames between."""

CallSite = tuple[CodeType, int]
"""A code object and an offset in its bytecode: cheap to note at each lease, and put into words only for the log."""


def call_site() -> CallSite:
    """The innermost line on the stack that is not in this package: the repository's or service's."""
    frame = sys._getframe(_NEAREST)  # noqa: SLF001 - documented, and the only way that costs next to nothing
    while frame.f_code.co_filename.startswith(_THIS_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def in_words(line: CallSite) -> str | None:
    """`path:line in function`.

    `None` for a statement that is a task of its own, as in `gather(connection.fetch(...))`: no line waits for it.
    """
    code, offset = line
    if code.co_filename.startswith((_ASYNCIO, _THIS_PACKAGE)):
        return None
    number = next((number for start, end, number in code.co_lines() if start <= offset < end), code.co_firstlineno)
    return f"{code.co_filename}:{number} in {code.co_qualname}"
