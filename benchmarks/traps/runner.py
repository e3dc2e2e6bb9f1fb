"""Runs patterns through scenarios, each in a new event loop and on new tables."""

import asyncio
import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg

from benchmarks.traps.pattern import Pattern
from benchmarks.traps.scenarios import Scenario
from benchmarks.traps.stage import Broke, Stage, described

PATIENCE = 2.0
"""Seconds after which a step that should take milliseconds counts as stuck. A scenario may take eight times as long."""

OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = 'traps' AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
TABLES = """
DROP TABLE IF EXISTS marks, pairs;
CREATE TABLE marks (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE pairs (n int);
"""


@dataclass(frozen=True)
class Result:
    """The result of one pattern in one scenario."""

    verdict: str
    """`holds`, `breaks` or `cannot be expressed`."""
    words: str = ""
    """What happened, or the reason."""


def attempt(pattern: Pattern, scenario: Scenario, server_dsn: str, patience: float = PATIENCE) -> Result:
    """Try one pattern in one scenario."""
    if reason := pattern.CANNOT.get(scenario.__name__):
        return Result("cannot be expressed", reason)
    try:
        asyncio.run(_attempt(pattern, scenario, server_dsn, patience))
    except Broke as broke:
        return Result("breaks", str(broke))
    except TimeoutError:
        return Result("breaks", f"still not over after {8 * patience:g} s")
    except Exception as error:  # noqa: BLE001 - any error of a pattern is a result
        return Result("breaks", described(error))
    return Result("holds")


async def _attempt(pattern: Pattern, scenario: Scenario, server_dsn: str, patience: float) -> None:
    with contextlib.suppress(asyncpg.DuplicateDatabaseError):
        await _execute(server_dsn, "CREATE DATABASE traps")
    dsn = server_dsn.replace("/postgres?", "/traps?")
    await _execute(dsn, OTHERS)  # connections that the last pattern left open
    await _execute(dsn, TABLES)
    async with asyncio.timeout(8 * patience):
        await scenario(Stage(pattern, dsn, patience))


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the warnings and the messages of collected objects that broken patterns leave behind."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
        gc.collect()
    logging.disable(logging.NOTSET)
