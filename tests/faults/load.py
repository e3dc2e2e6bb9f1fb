"""The service under load: clients that write rows with keys of their own, and remember what they were told."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from fastapi import FastAPI
from httpx import Response

from containers import Container
from service.app import create_app
from service.database import Database, ScopedConnection
from tests.database.helpers import until, whole
from tests.support.clients import client_of
from tests.support.sql import fetch

CLIENTS = 50
SECONDS = 2.0
"""How long a fault lasts, where it lasts; ten are worth while before a release."""
BACK = 20.0
"""Seconds after the database within which the service is back, on a busy machine too; the figure itself is printed."""
LIMITS = {"acquire_timeout": 1.0, "connect_timeout": 1.0, "command_timeout": 2.0, "min_size": 2, "max_size": 8}
"""What the pool is told, where a test says nothing else."""
PATIENCE = 60.0
"""Seconds that a client waits at most: for a connection, for one answer, for a rollback, and for a busy machine."""

INSERT = "INSERT INTO rows (key) VALUES ($1)"

Write = Callable[[str], Awaitable[None]]


class Service:
    """The application with one more endpoint, `POST /rows/{kind}/{key}`; `writes` says what each kind does."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.app: FastAPI = create_app(container)
        self.database: Database = container.database()
        self.connection: ScopedConnection = container.connection()
        self.writes: dict[str, Write] = {"statement": self._statement, "transaction": self._transaction}
        self.client = client_of(self.app, raise_app_exceptions=False)
        self.app.add_api_route("/rows/{kind}/{key}", self._write, methods=["POST"], status_code=201)

    async def _write(self, kind: str, key: str) -> str:
        await self.writes[kind](key)
        return key

    async def _statement(self, key: str) -> None:
        await self.connection.execute(INSERT, key)

    async def _transaction(self, key: str) -> None:
        async with self.connection.transaction():
            await self.connection.execute(INSERT, key)

    async def is_back(self, since: float) -> float:
        """Wait until a write is acknowledged; gives the seconds since the database was there again."""
        async with asyncio.timeout(60):
            for number in itertools.count():
                answer = await self.client.post(f"/rows/transaction/back-{since}-{number}")
                if answer.status_code == 201:
                    break
                await asyncio.sleep(0.01)
        seconds = monotonic() - since
        print(f"back after {seconds:.3f} s")
        assert seconds < BACK
        return seconds

    async def is_whole(self) -> None:
        """Wait until every connection is back in the pool, and there are as many as are kept."""
        await until(lambda: whole(self.database))
        await until(lambda: self.database.stats().idle >= self.database.options.min_size)
        assert whole(self.database)


@asynccontextmanager
async def serving(dsn: str, monkeypatch: pytest.MonkeyPatch, **options: float) -> AsyncIterator[Service]:
    """The service, started on a database with these options of the pool."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    for name, value in {**LIMITS, **options}.items():
        monkeypatch.setenv(f"POOLKEEPER_DATABASE__{name.upper()}", str(value))
    service = Service(Container())
    async with service.app.router.lifespan_context(service.app), service.client:
        yield service


class Load:
    """What `CLIENTS` clients were told: the keys that were acknowledged, and every answer."""

    def __init__(self, service: Service, kinds: Sequence[str]) -> None:
        self.acknowledged: set[str] = set()
        self.refused: dict[str, Response] = {}
        self.answers: Counter[str] = Counter()
        self.longest = 0.0
        self._service = service
        self._kinds = kinds
        self._stopped = False

    async def work(self, client: int) -> None:
        """What one client does until it is stopped."""
        kind = self._kinds[client % len(self._kinds)]
        for number in itertools.count():
            if self._stopped:
                return
            await self.write(kind, f"{kind}-{client}-{number}")

    async def write(self, kind: str, key: str) -> None:
        """One request. It is not sent again, whatever the answer is."""
        started = monotonic()
        async with asyncio.timeout(PATIENCE):
            answer = await self._service.client.post(f"/rows/{kind}/{key}")
        self.longest = max(self.longest, monotonic() - started)
        self.answers[_told(answer)] += 1
        if answer.status_code == 201:
            self.acknowledged.add(key)
        else:
            self.refused[key] = answer
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Each client finishes the request that it is at."""
        self._stopped = True

    async def some_more(self, count: int = CLIENTS) -> None:
        """Wait until so many more writes were acknowledged."""
        enough = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= enough)

    async def is_consistent(self, dsn: str) -> None:
        """Every acknowledged row is there, none is there twice, and whoever was refused was told when to come again."""
        print(f"{dict(self.answers)}, the longest took {self.longest:.2f} s")
        for answer in self.refused.values():
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"] == "1"
        rows = Counter(await keys(dsn))
        assert not self.acknowledged - rows.keys(), "an acknowledged write is missing"
        assert not [key for key, count in rows.items() if count > 1], "a write was doubled"


def _told(answer: Response) -> str:
    return f"{answer.status_code} {answer.json()['detail']}" if answer.status_code != 201 else "201"


@asynccontextmanager
async def load(service: Service, *kinds: str) -> AsyncIterator[Load]:
    """`CLIENTS` clients that write without a pause for as long as the block lasts; at its end the pool is whole."""
    load = Load(service, kinds or ("statement", "transaction"))
    async with asyncio.timeout(180), asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(load.work(number))
        await load.some_more()
        try:
            yield load
        finally:
            load.stop()
    await service.is_whole()


async def keys(dsn: str) -> list[str]:
    """The keys of all rows."""
    return [row["key"] for row in await fetch(dsn, "SELECT key FROM rows")]
