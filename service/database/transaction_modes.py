"""The modes of a transaction: isolation, read-only, deferrable."""

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
    """The BEGIN with these modes."""

    def include(self, asked: "Modes") -> bool:
        """Return whether a savepoint in this transaction has the modes `asked`. The isolation must be equal, as in asyncpg."""
        return (
            (asked.isolation is None or asked.isolation == self.isolation)
            and self.readonly >= asked.readonly
            and self.deferrable >= asked.deferrable
        )


@lru_cache(maxsize=64)
def modes(isolation: Isolation | None, readonly: bool, deferrable: bool) -> Modes:
    """Return the modes with these options; positional, because keywords make the cache's key twice as expensive.

    Raises:
        ValueError: The isolation is not one of the four.
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
"""The server's defaults."""
