"""Runs the service with one or several workers, and puts it under load."""

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
    """Start the service on all processors: several workers cannot have one processor each."""
    anywhere = Processors()
    anywhere.contender = anywhere.all
    sized = replace(contender, variables={**contender.variables, "WEB_CONCURRENCY": str(workers)})
    with running([sized], dsn, anywhere, pool) as up:
        yield up[contender.name]


def read(service: Running, path: str, *, seconds: int, connections: int) -> Sample:
    """Read one path. Each connection sends its next request when it has its response."""
    return wrk(service.url, path, seconds=seconds, connections=connections, token=service.token, script=SCRIPT)


def machine() -> str:
    """Return the machine and its load average before the run."""
    return f"{described()}; load average {os.getloadavg()[0]:.1f} before the run"
