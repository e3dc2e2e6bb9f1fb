"""A server, a loop and a stage for all pieces."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from benchmarks.micro.pieces import Stage, staged
from service.database import EmbeddedServer
from service.migrations.runner import migrate


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The loop that everything runs in."""
    import uvloop  # noqa: PLC0415 - as uvicorn uses it

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


@pytest.fixture(scope="session")
def stage(runner: asyncio.Runner) -> Iterator[Stage]:
    """The stage, on a server of its own."""
    server = EmbeddedServer(None)
    dsn = server.start()

    async def enter() -> tuple[AbstractAsyncContextManager[Stage], Stage]:
        await migrate(lambda: asyncpg.connect(dsn))
        context = staged(dsn)
        return context, await context.__aenter__()

    context, opened = runner.run(enter())
    yield opened
    runner.run(context.__aexit__(None, None, None))
    server.stop()
