"""Figures of a pool."""

from dataclasses import dataclass, field, replace


@dataclass(slots=True, kw_only=True)
class Totals:
    """Counts since the pool was opened; times in seconds."""

    leases: int = 0
    statements: int = 0
    opened: int = 0
    closed: int = 0
    resets: int = 0
    timeouts: int = 0
    wait_time: float = 0.0
    hold_time: float = 0.0

    def copy(self) -> "Totals":
        """Return a snapshot."""
        return replace(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A pool at one moment. A connection that is being reset counts in `size`, but not in `idle` or `leased`."""

    size: int
    idle: int
    leased: int
    waiting: int
    totals: Totals = field(repr=False)
