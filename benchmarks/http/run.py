"""The stages of a run. Rounds are interleaved: every contender once, then every contender again."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

from benchmarks.harness.contender import POOL, Contender
from benchmarks.harness.load import Figures, Sample, figures
from benchmarks.harness.machine import Processors, pinned
from benchmarks.harness.records import forget_new
from benchmarks.harness.running import Running, running
from benchmarks.harness.server import Postgres, distant, round_trip
from benchmarks.http.contenders import (
    AWAKE,
    CREATE,
    DISTANT,
    LIST,
    MIX,
    ONE,
    OVERLOAD,
    PEAK,
    SLEEPERS,
    THREE,
    TITLES,
    asked,
)
from benchmarks.http.pgbench import PgBench
from benchmarks.http.waits import waits

ROUND_TRIP = 0.002
SLEEPING = 200
SMALL_POOL = 5
TIMES_TOO_MANY = 10
SATURATED = 0.95
"""The share of the peak rate that counts as saturated: with more connections, only the waits grow."""


class Asked(Protocol):
    """A target of a load."""

    def sample(self, request: str, seconds: int) -> Sample:
        """Put it under load for some seconds."""


@dataclass
class Plan:
    """The length of each stage."""

    quick: bool
    rounds: int
    rounds_of_one: int
    """For one row by id, the work that most ratios use."""
    seconds_of_one: int
    carried: tuple[int, ...]
    """The numbers of connections that are tried to find the peak rate."""
    rounds_of_overload: int


FULL = Plan(quick=False, rounds=4, rounds_of_one=5, seconds_of_one=2, carried=(16, 32, 64, 128), rounds_of_overload=3)
QUICK = Plan(quick=True, rounds=2, rounds_of_one=2, seconds_of_one=1, carried=(32, 64), rounds_of_overload=1)


def shortest(plan: Plan) -> Plan:
    """Return a plan with the same stages and one second for each: it checks that they run, and its figures mean nothing."""
    return replace(plan, rounds=1, rounds_of_one=1, seconds_of_one=1, carried=(32, 64), rounds_of_overload=1)


@dataclass
class Results:
    """The samples of a run."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    """By kind of work and contender."""
    waits: dict[str, float] = field(default_factory=dict)
    """Milliseconds, the 99th percentile."""
    round_trip: float = 0.0
    """Milliseconds, measured."""

    def figures(self, work: str, contender: str) -> Figures | None:
        """Return the medians, or `None` if the contender did not take part."""
        samples = self.samples.get((work, contender))
        return figures(samples) if samples else None


class Run:
    """One run on one server."""

    def __init__(self, server: Postgres, plan: Plan, processors: Processors) -> None:
        self.results = Results()
        self._server = server
        self._plan = plan
        self._processors = processors

    def everything(self) -> Results:
        """Run all stages, one after the other."""
        self._waiting()  # first, before there is anything to vacuum: a vacuum would show in the 99th percentile
        self._on_the_spot()
        self._at_a_distance()
        self._beside_sleepers()
        self._overloaded()
        return self.results

    def _on_the_spot(self) -> None:
        works = {ONE: "one", LIST: "list", CREATE: "create", MIX: "mix", THREE: "three"}
        everyone = {work: asked(work, quick=self._plan.quick) for work in works}
        with self._started(everyone[ONE], self._server.dsn) as up:
            for each in up.values():
                each.check()
                each.sample("one", 1)  # the first second fills caches and does not count
            pgbench = PgBench(self._server, self._processors)
            for work, request in works.items():
                those: dict[str, Asked] = {
                    each.name: pgbench if each.name == "pgbench" else up[each.name] for each in everyone[work]
                }
                rounds, seconds = self._plan.rounds, 1
                if work == ONE:
                    rounds, seconds = self._plan.rounds_of_one, self._plan.seconds_of_one
                self._rounds(work, request, those, rounds, seconds)
                asyncio.run(forget_new(self._server.dsn))

    def _at_a_distance(self) -> None:
        with distant(self._server, ROUND_TRIP) as dsn:
            self.results.round_trip = asyncio.run(round_trip(dsn))
            with self._started(asked(DISTANT, quick=self._plan.quick), dsn) as up:
                self._rounds(DISTANT, "one", up, self._plan.rounds, 1)

    def _beside_sleepers(self) -> None:
        """Run each contender twice: with sleeping requests and without."""
        those = asked(SLEEPERS, quick=self._plan.quick)
        with (
            self._started(those, self._server.dsn, SMALL_POOL) as awake,
            self._started(those, self._server.dsn, SMALL_POOL) as beside,
            ExitStack() as sleepers,
        ):
            for each in beside.values():
                sleepers.enter_context(each.sleepers(SLEEPING))
            for _ in range(self._plan.rounds):
                self._rounds(AWAKE, "one", awake, 1, 1)
                self._rounds(SLEEPERS, "one", beside, 1, 1)

    def _overloaded(self) -> None:
        """Find the peak rate of each contender, then put it under ten times that load."""
        rounds = range(self._plan.rounds_of_overload)
        with self._started(asked(OVERLOAD, quick=self._plan.quick), self._server.dsn) as up:
            for name, each in up.items():
                tried: dict[int, list[Sample]] = {count: [] for count in self._plan.carried}
                for _ in rounds:
                    for count, samples in tried.items():
                        samples.append(each.sample("one", 1, count))
                rates = {count: figures(samples).rate for count, samples in tried.items()}
                peak = max(rates, key=rates.__getitem__)
                enough = min(count for count in rates if rates[count] >= SATURATED * rates[peak])
                self.results.samples[PEAK, name] = tried[peak]
                for _ in rounds:
                    self._note(OVERLOAD, name, each.sample("one", self._plan.seconds_of_one, TIMES_TOO_MANY * enough))

    def _waiting(self) -> None:
        with pinned(self._processors.contender):
            self.results.waits = waits(
                self._server.dsn, 2 * self._plan.rounds, 1
            )  # a 99th percentile of one second varies a lot

    def _started(
        self, contenders: Sequence[Contender], dsn: str, pool: int = POOL
    ) -> AbstractContextManager[dict[str, Running]]:
        applications = [contender for contender in contenders if contender.name != "pgbench"]
        return running(applications, dsn, self._processors, pool)

    def _rounds(self, work: str, request: str, those: Mapping[str, Asked], rounds: int, seconds: int) -> None:
        for _ in range(rounds):
            for name, each in those.items():
                self._note(work, name, each.sample(request, seconds))

    def _note(self, work: str, name: str, sample: Sample) -> None:
        times = f"p50 {sample.p50:.1f} ms, p99 {sample.p99:.1f} ms, processor {sample.processor:.0f} us"
        refused = f", {sample.refused} refused" if sample.refused else ""
        print(f"{TITLES[work]}: {name}: {sample.rate:.0f}/s, {times}{refused}", flush=True)
        self.results.samples[work, name].append(sample)
