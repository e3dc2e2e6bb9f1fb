"""What a transaction asks of the server: isolation, read-only, deferrable."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

Isolation = Literal["read_uncommitted", "read_committed", "repeatable_read", "serializable"]

_LEVELS = get_args(Isolation)


@dataclass(frozen=True, slots=True)
class Modes:
    """The modes of a transaction. An isolation of `None` is the server's default."""

    isolation: Isolation | None
    readonly: bool
    deferrable: bool
    begin: str
    """The BEGIN that asks for them."""

    def include(self, asked: "Modes") -> bool:
        """Whether a savepoint inside such a transaction has what it asks for. asyncpg too wants the very same isolation."""
        return (
            (asked.isolation is None or asked.isolation == self.isolation)
            and self.readonly >= asked.readonly
            and self.deferrable >= asked.deferrable
        )


@lru_cache(maxsize=64)
def modes(isolation: Isolation | None, readonly: bool, deferrable: bool) -> Modes:
    """The modes with these options, by position: a cache's key of keywords costs twice as much.

    Raises `ValueError` for an isolation that is none of the four.
    """
    if isolation is not None and isolation not in _LEVELS:
        raise ValueError(f"isolation must be one of {', '.join(_LEVELS)}, not {isolation!r}")
    begin = "BEGIN"
    if isolation is not None:
        begin += f" ISOLATION LEVEL {isolation.replace('_', ' ').upper()}"
    if readonly:
        begin += " READ ONLY"
    if deferrable:
        begin += " DEFERRABLE"
    return Modes(isolation, bool(readonly), bool(deferrable), begin)


PLAIN = modes(None, False, False)
