"""The pieces, each run a number of times in a row."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from containers import Container
from service.app import create_app
from service.auth.passwords import PasswordHasher
from service.database import Database, ScopedConnection
from service.database.pool import Pool
from service.injection import Provide, inject
from service.items.service import ItemService
from service.users.service import UserService


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The service's open container, and a plain asyncpg connection to the same database."""

    container: Container
    database: Database
    pool: Pool
    connection: ScopedConnection
    raw: "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def staged(dsn: str) -> AsyncIterator[Stage]:
    """Open a stage on a migrated database."""
    os.environ.update(POOLKEEPER_ENV="test", DATABASE_URL=dsn, POOLKEEPER_DATABASE__MIGRATE_ON_START="false")
    container = Container()
    container.wire(modules=[sys.modules[__name__]])
    await container.init_resources()  # type: ignore[misc]
    raw = await asyncpg.connect(dsn)
    database, connection = container.database(), container.connection()
    try:
        yield Stage(container=container, database=database, pool=database.pool(), connection=connection, raw=raw)
    finally:
        await raw.close()
        await container.shutdown_resources()  # type: ignore[misc]
        container.unwire()


async def build_container(_: Stage, times: int) -> None:
    for _number in range(times):
        Container()


async def build_app(stage: Stage, times: int) -> None:
    for _ in range(times):
        create_app(stage.container)


def _plain() -> None:
    pass


@inject
def _one(_users: UserService = Provide["user_service"]) -> None:
    pass


@inject
def _singleton(_passwords: PasswordHasher = Provide["passwords"]) -> None:
    pass


@inject
def _three(
    _users: UserService = Provide["user_service"],
    _items: ItemService = Provide["item_service"],
    _passwords: PasswordHasher = Provide["passwords"],
) -> None:
    pass


async def call(_: Stage, times: int) -> None:
    for _number in range(times):
        _plain()


async def inject_singleton(_: Stage, times: int) -> None:
    for _number in range(times):
        _singleton()


async def inject_one(_: Stage, times: int) -> None:
    for _number in range(times):
        _one()


async def inject_three(_: Stage, times: int) -> None:
    for _number in range(times):
        _three()


async def scope(stage: Stage, times: int) -> None:
    for _ in range(times):
        async with stage.database.scope("micro"):
            pass


async def lease(stage: Stage, times: int) -> None:
    for _ in range(times):
        lent = stage.pool.acquire_now("micro")
        assert lent is not None
        stage.pool.give_back(lent)


async def statement_raw(stage: Stage, times: int) -> None:
    for _ in range(times):
        await stage.raw.fetchval("SELECT 1")


async def statement(stage: Stage, times: int) -> None:
    async with stage.database.scope("micro"):
        for _ in range(times):
            await stage.connection.fetchval("SELECT 1")


async def transaction(stage: Stage, times: int) -> None:
    async with stage.database.scope("micro"):
        for _ in range(times):
            async with stage.connection.transaction():
                pass


async def savepoint(stage: Stage, times: int) -> None:
    async with stage.database.scope("micro"), stage.connection.transaction():
        for _ in range(times):
            async with stage.connection.transaction():
                pass


async def savepoint_raw(stage: Stage, times: int) -> None:
    async with stage.raw.transaction():
        for _ in range(times):
            async with stage.raw.transaction():
                pass


@dataclass(frozen=True)
class Piece:
    """Work that is repeated `times` times in a row."""

    title: str
    work: Callable[[Stage, int], Coroutine[Any, Any, None]]
    times: int = 1000


PIECES = (
    Piece("the graph, `Container()`", build_container, 10),
    Piece("`create_app`", build_app, 1),
    Piece("a call without injections, to compare with", call),
    Piece("`@inject`, a singleton", inject_singleton),
    Piece("`@inject`, a service", inject_one),
    Piece("`@inject`, two services and a singleton", inject_three),
    Piece("a scope, opened and closed", scope),
    Piece("the pool's lease and return alone", lease),
    Piece("`SELECT 1` on asyncpg's connection", statement_raw),
    Piece("`SELECT 1` with lease and return", statement),
    Piece("an empty transaction", transaction),
    Piece("a savepoint by asyncpg", savepoint_raw),
    Piece("a savepoint", savepoint),
)
