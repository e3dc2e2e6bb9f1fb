"""The service itself, as one worker or several, and the load on it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.contender import BATCHED, IN_PRODUCTION, STATEMENT, Contender
from benchmarks.harness.load import Sample, wrk
from benchmarks.harness.machine import Processors, described
from benchmarks.harness.running import Running, running

SCRIPT = Path(__file__).parents[1] / "harness/read.lua"

_SIZES = {"POOLKEEPER_DATABASE__MIN_SIZE": "", "POOLKEEPER_DATABASE__MAX_SIZE": ""}

PRODUCTION = Contender(
    name="production",
    title="the service, as in production",
    app="service.main:app",
    holds=STATEMENT,
    http=BATCHED,
    variables={
        **_SIZES,
        **IN_PRODUCTION,
    },
    signs_in=True,
)
SLEEPY = Contender(
    name="sleepy",
    title="the service, with its slow endpoint",
    app="service.main:app",
    holds=STATEMENT,
    http=BATCHED,
    variables={
        **_SIZES,
        "POOLKEEPER_ENV": "development",
        "POOLKEEPER_DATABASE__MIGRATE_ON_START": "false",
        "POOLKEEPER_DIAGNOSTICS__SLOW_SECONDS": "1000000",
    },
)


@contextmanager
def serving(contender: Contender, dsn: str, *, pool: int = 10, workers: int = 1) -> Iterator[Running]:
    """The service, wherever the system puts it: with more workers than one there is no processor for each."""
    anywhere = Processors()
    anywhere.contender = anywhere.all
    sized = replace(contender, variables={**contender.variables, "WEB_CONCURRENCY": str(workers)})
    with running([sized], dsn, anywhere, pool) as up:
        yield up[contender.name]


def read(service: Running, path: str, *, seconds: int, connections: int) -> Sample:
    """Ask for one path, each connection again as soon as it has its answer."""
    return wrk(service.url, path, seconds=seconds, connections=connections, token=service.token, script=SCRIPT)


def machine() -> str:
    """Where it was measured, and how busy that is with other things."""
    return f"{described()}; load average {os.getloadavg()[0]:.1f} before the run"
