"""The line of code that leased a connection."""

import asyncio
import sys
from pathlib import Path
from types import CodeType

_THIS_PACKAGE = str(Path(__file__).parent)

_ASYNCIO = str(Path(asyncio.__file__).parent)

_SKIPPED_FRAMES = 4
"""Frames of this package that are always on the stack: starting above them creates no objects for them."""

CallSite = tuple[CodeType, int]
"""A code object and an offset in its bytecode: cheap to record at each lease, and turned into text only for the log."""


def call_site() -> CallSite:
    """Return the innermost line on the stack outside this package, such as a repository's."""
    frame = sys._getframe(_SKIPPED_FRAMES)  # noqa: SLF001 - documented, and the only cheap way
    while frame.f_code.co_filename.startswith(_THIS_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def describe(site: CallSite) -> str | None:
    """Return `path:line in function`.

    Return `None` for a statement that runs as a task, as in `gather(connection.fetch(...))`: no line waits for it.
    """
    code, offset = site
    if code.co_filename.startswith((_ASYNCIO, _THIS_PACKAGE)):
        return None
    number = next((number for start, end, number in code.co_lines() if start <= offset < end), code.co_firstlineno)
    return f"{code.co_filename}:{number} in {code.co_qualname}"
