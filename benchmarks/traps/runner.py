"""Runs patterns through scenarios, each in an event loop and a database of its own."""

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
"""Seconds after which what takes milliseconds counts as stuck. A whole scenario may take eight times as long."""

TABLES = """
CREATE TABLE marks (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE pairs (n int);
"""


@dataclass(frozen=True)
class Result:
    """How one pattern fared in one scenario."""

    verdict: str
    """`holds`, `breaks` or `cannot be expressed`."""
    words: str = ""
    """What was seen, or the reason."""


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
    except Exception as error:  # noqa: BLE001 - whatever a pattern raises is a result
        return Result("breaks", described(error))
    return Result("holds")


async def _attempt(pattern: Pattern, scenario: Scenario, server_dsn: str, patience: float) -> None:
    name = f"trap_{scenario.__name__}"
    await _execute(server_dsn, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await _execute(server_dsn, f"CREATE DATABASE {name}")
    dsn = server_dsn.replace("/postgres?", f"/{name}?")
    await _execute(dsn, TABLES)
    try:
        async with asyncio.timeout(8 * patience):
            await scenario(Stage(pattern, dsn, patience))
    finally:
        await _execute(server_dsn, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what broken patterns leave behind (warnings, complaints of collected objects) off the terminal."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
        gc.collect()
    logging.disable(logging.NOTSET)
