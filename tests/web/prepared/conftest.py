"""The application twice: with prepared routes, and as FastAPI does everything."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from dependency_injector import providers
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from containers import Container
from service.app import create_app
from service.settings import Settings

SEED = """
    DELETE FROM users;
    DELETE FROM idempotency_keys;
    ALTER SEQUENCE users_id_seq RESTART;
    ALTER SEQUENCE items_id_seq RESTART;
    INSERT INTO users (email, password_hash, is_admin)
        SELECT 'user' || number || '@example.com', 'none', number = 2 FROM generate_series(1, 3) AS number;
    INSERT INTO items (title, description, owner_id)
        VALUES ('A pen', 'Blue', 1), ('Ein Füller', NULL, 1), ('A cup', NULL, 2);
"""
ID = {"X-Request-ID": "the-same-for-both"}


@dataclass
class Both:
    """The two, on one container."""

    container: Container
    prepared: FastAPI
    plain: FastAPI
    clients: tuple[AsyncClient, AsyncClient]
    seeded: bool = False

    async def compare(self, method: str, path: str, **request: Any) -> int:
        """Send a request both ways, to the same rows: status, headers, body and what is left in the tables must be equal."""
        request["headers"] = [*ID.items(), *_pairs(request.get("headers", {}))]
        answers = []
        reads = method in {"GET", "HEAD"}
        for client in self.clients:
            if not (reads and self.seeded):
                await self.seed()
            answer = await client.request(method, path, **request)
            answers.append(
                (answer.status_code, answer.headers.raw, answer.content, None if reads else await self._rows())
            )
        self.seeded = reads
        assert answers[0] == answers[1], (method, path, request)
        return int(answers[0][0])

    async def seed(self) -> None:
        """The same rows as ever."""
        async with self.container.database().scope("seed"):
            await self.container.connection().execute(SEED)

    async def _rows(self) -> list[str]:
        async with self.container.database().scope("look"):
            rows = await self.container.connection().fetch(
                "SELECT users.id, email, is_active, array_agg(items ORDER BY items.id)::text "
                "FROM users LEFT JOIN items ON owner_id = users.id GROUP BY users.id ORDER BY users.id"
            )
        return [repr(row) for row in rows]


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


@pytest.fixture(params=["open", "token"])
async def both(
    request: pytest.FixtureRequest, cloned_container: Container, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Both]:
    """The application both ways, in both modes of `auth.mode`."""
    container = cloned_container
    apps = []
    for prepared in (True, False):
        monkeypatch.setenv("POOLKEEPER_AUTH__MODE", request.param)
        monkeypatch.setenv("POOLKEEPER_PERFORMANCE__PREPARED_ROUTES", str(prepared).lower())
        with container.settings.override(providers.Object(Settings())):
            container.auth_mode.reset()
            container.auth_mode()
            apps.append(create_app(container))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(app)) for app in apps]
        yield Both(container, apps[0], apps[1], (clients[0], clients[1]))


def client_of(app: FastAPI) -> AsyncClient:
    """A client that gets the answer to what fails, too."""
    return AsyncClient(transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test")
