"""The targets of the service, as ratios of medians in one run. A run reports whether they are met; no test enforces them."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.http.contenders import (
    AWAKE,
    CREATE,
    DISTANT,
    LIST,
    ONE,
    OVERLOAD,
    PEAK,
    SLEEPERS,
    THREE,
)
from benchmarks.http.run import Results


@dataclass(frozen=True)
class Target:
    """A wanted ratio."""

    work: str
    against: str
    wanted: float
    seen: Callable[[Results, str], float | None]
    """Returns the ratio of a run for a mode of the service, by name, or `None` if it was not measured."""
    at_most: bool = False
    """Whether a lower ratio is better."""

    def is_met(self, ratio: float) -> bool:
        """Return whether a ratio, rounded as it is printed, meets the target."""
        return round(ratio, 3) <= self.wanted if self.at_most else round(ratio, 2) >= self.wanted


def _rates(work: str, other_work: str, other: str | None = None) -> Callable[[Results, str], float | None]:
    """Return a function for the ratio of the service's rate to a peer's, or to its own rate at another kind of work."""

    def seen(results: Results, name: str) -> float | None:
        ours, theirs = results.figures(work, name), results.figures(other_work, other or name)
        return ours.rate / theirs.rate if ours and theirs and theirs.rate else None

    return seen


def _waits(results: Results, _: str) -> float | None:
    return results.waits["ours"] / results.waits["asyncpg"] if results.waits else None


def _against(work: str, title: str, peer: str, words: str, wanted: float) -> Target:
    return Target(title, words, wanted, _rates(work, work, peer))


TARGETS = (
    _against(ONE, "one row by id", "global_pool", "global pool, hand-written", 1.8),
    _against(ONE, "one row by id", "yield_dependency", "connection by yield dependency", 2.4),
    _against(ONE, "one row by id", "dependency_injector", "dependency-injector as documented", 2.8),
    _against(ONE, "one row by id", "sqlalchemy_session", "SQLAlchemy async session", 8),
    _against(ONE, "one row by id", "litestar_asyncpg", "Litestar with asyncpg", 1.0),
    _against(ONE, "one row by id", "bare_asgi", "bare ASGI with asyncpg", 0.65),
    _against(LIST, "100 rows", "global_pool", "global pool, hand-written, typed response", 1.8),
    _against(CREATE, "create in a transaction", "global_pool", "hand-written acquire, transaction, insert", 1.3),
    _against(THREE, "three statements", "global_pool", "hand-written on one acquired connection", 1.3),
    _against(DISTANT, "2 ms round trip, one row", "global_pool", "hand-written global pool", 1.8),
    Target("p99 of the wait for a connection, 64 tasks on 8", "asyncpg's own pool", 1 / 8, _waits, at_most=True),
    Target(
        "reads with 200 sleeping requests, pool of 5",
        "the same without sleeping requests",
        0.95,
        _rates(SLEEPERS, AWAKE),
    ),
    Target("ten times overload", "its own peak rate of good answers", 0.9, _rates(OVERLOAD, PEAK)),
)
