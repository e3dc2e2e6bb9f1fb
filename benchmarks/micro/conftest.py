"""Fixtures for all pieces: a server, an event loop and a stage."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import pytest

from benchmarks.harness.server import migrated
from benchmarks.micro.pieces import Stage, staged


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The event loop of all pieces."""
    import uvloop  # noqa: PLC0415 - as uvicorn uses it

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


@pytest.fixture(scope="session")
def stage(runner: asyncio.Runner) -> Iterator[Stage]:
    """The stage, on a new server."""
    with migrated() as server:
        context = staged(server.dsn)
        yield runner.run(_enter(context))
        runner.run(context.__aexit__(None, None, None))


async def _enter(context: AbstractAsyncContextManager[Stage]) -> Stage:
    return await context.__aenter__()
