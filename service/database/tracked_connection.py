"""A subclass of asyncpg's connection that records changes which a reset does not undo."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import asyncpg


@lru_cache(maxsize=64)
def tracked_class(connection_class: type[asyncpg.Connection[asyncpg.Record]]) -> Any:
    """Return a subclass with an attribute `altered`: whether codecs, listeners or loggers were set since it was `False`.

    asyncpg stores them in Python, which `RESET ALL` does not reach, and does not say what they were before.
    """

    class Tracked(connection_class):  # type: ignore[misc, valid-type]
        __slots__ = ("altered",)

    def tracking(name: str) -> Any:
        original = getattr(connection_class, name)

        def method(self: Any, *args: Any, **options: Any) -> Any:
            self.altered = True
            return original(self, *args, **options)

        return method

    for name in _ALTERING:
        setattr(Tracked, name, tracking(name))
    return Tracked


_ALTERING = (
    "set_type_codec",
    "reset_type_codec",
    "set_builtin_type_codec",
    "add_listener",
    "add_log_listener",
    "add_termination_listener",
    "add_query_logger",
)
