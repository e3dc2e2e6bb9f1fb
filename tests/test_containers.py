"""The object graph."""

import asyncio
import inspect
import json
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from dependency_injector import containers, providers

from containers import Container
from service.app import create_app
from service.cli import commands
from service.cli.graph import mermaid
from service.database import Database, DatabaseUnavailable, PoolNotOpen, ScopedConnection
from service.items.service import ItemService
from service.operations.diagnostics.countdown import Countdown
from service.startup import container_scope
from service.users.service import UserService


def test_the_public_names_have_their_kinds() -> None:
    """Names and kinds of providers are what users and their overrides rely on."""
    container = Container()
    kinds = {
        "settings": providers.Singleton, "database": providers.Singleton, "pool": providers.Resource,
        "connection": providers.Singleton, "user_repository": providers.Factory, "item_repository": providers.Factory,
        "user_service": providers.Factory, "item_service": providers.Factory,
    }  # fmt: skip
    for name, kind in kinds.items():
        assert isinstance(container.providers[name], kind), name


async def test_everything_is_built_without_io() -> None:
    """Every object but the resource is there at once, none of them a Future, and the pool is not open."""
    container = Container()
    for name, provider in container.providers.items():
        if not isinstance(provider, providers.Resource):
            assert not inspect.isawaitable(provider()), name
    assert not container.database().is_open
    async with container.database().scope("early"):
        with pytest.raises(PoolNotOpen):
            await container.connection().fetchval("SELECT 1")


async def test_nothing_depends_on_the_resource() -> None:
    """One asynchronous Resource below a Factory would turn all above it into Futures."""
    container = Container()
    for name, provider in container.providers.items():
        if name != "pool":
            assert container.pool not in list(provider.traverse()), name


async def test_init_resources_alone_makes_the_container_usable(cloned_container: Container) -> None:
    """In a script: resources, a scope, a service. Objects stay plain objects after the start."""
    assert isinstance(cloned_container.user_service(), UserService)
    assert isinstance(cloned_container.item_service(), ItemService)
    assert isinstance(cloned_container.database(), Database)
    assert isinstance(cloned_container.connection(), ScopedConnection)
    async with cloned_container.database().scope("script"):
        assert await cloned_container.user_service().list(0, 10) == []


async def test_resources_can_be_opened_again(cloned_container: Container) -> None:
    """After `shutdown_resources` the same container can be started once more."""
    await cloned_container.shutdown_resources()  # type: ignore[misc]
    assert not cloned_container.database().is_open
    await cloned_container.init_resources()  # type: ignore[misc]
    async with cloned_container.database().scope("again"):
        assert await cloned_container.connection().fetchval("SELECT 1") == 1


async def test_an_embedded_server_comes_and_goes_with_the_resources() -> None:
    """With no DSN, tests get a PostgreSQL of their own, migrated, from `init_resources` to `shutdown_resources`."""
    container = Container()
    await container.init_resources()  # type: ignore[misc]
    async with container.database().scope("embedded"):
        assert await container.user_service().list(0, 10) == []
        data_dir = await container.connection().fetchval("SHOW data_directory")
    await container.shutdown_resources()  # type: ignore[misc]
    with ThreadPoolExecutor(1) as pool, pytest.raises(FileNotFoundError):
        pool.submit(open, f"{data_dir}/PG_VERSION").result()


def test_plain_arguments_do_not_disturb_the_picture() -> None:
    """A provider may be made of values that are no providers."""

    class Other(containers.DeclarativeContainer):
        countdown = providers.Singleton(Countdown, 10)

    assert 'countdown["Countdown<br>Singleton"]' in mermaid(Other())


async def test_a_container_without_resources_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `pool` overridden nothing asynchronous is left to open, and the application starts all the same."""
    container = Container()
    with container.pool.override(providers.Object(None)):
        app = create_app(container)
        async with app.router.lifespan_context(app):
            assert not container.database().is_open


def test_the_picture_of_the_graph_is_the_graph() -> None:
    """Every provider is in it, with what it is made of, and the owner of a lifetime is marked."""
    container = Container()
    picture = mermaid(container)
    for name in container.providers:
        assert f"    {name}[" in picture or f"    {name}(" in picture
    for arrow in ("user_service --> user_repository", "user_repository --> connection", "database --> settings",
                  "pool --> database", "slow_countdown --> settings"):  # fmt: skip
        assert arrow in picture
    assert "class pool lifetime" in picture
    assert "--> pool" not in picture


async def test_a_password_and_init_come_from_the_container(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An async function for each connection, migrations' and the commands' too, and codecs on those of the pool."""
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    asked: list[str] = []

    async def password() -> str:
        asked.append("asked")
        return "of this moment"

    async def codecs(raw: "asyncpg.Connection[asyncpg.Record]") -> None:
        await raw.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")

    container = Container()
    container.database_password.override(providers.Object(password))
    container.connection_init.override(providers.Object(codecs))
    async with container_scope(container, "test"):  # which migrates
        assert len(asked) > container.settings().database.min_size
        assert await container.connection().fetchval("SELECT $1::jsonb", {"colour": "blue"}) == {"colour": "blue"}
    before = len(asked)
    monkeypatch.setattr(commands, "Container", lambda: container)
    monkeypatch.setattr("sys.argv", ["poolkeeper", "migrate", "status"])
    with pytest.raises(SystemExit, match="0"):
        await asyncio.to_thread(commands.main)
    assert len(asked) == before + 1
    assert capsys.readouterr().out.startswith("schema: ")


async def test_a_password_that_cannot_be_had_does_not_stop_the_start(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be there later, as the server may: then the schema is migrated, and statements run."""
    monkeypatch.setenv("DATABASE_URL", empty_dsn)
    away = True

    async def password() -> str:
        if away:
            raise ConnectionRefusedError("vault")
        return "at last"

    container = Container()
    container.database_password.override(providers.Object(password))
    async with container_scope(container, "test"):
        with pytest.raises(DatabaseUnavailable, match="the function for the password failed") as caught:
            await container.connection().fetchval("SELECT 1")
        assert "vault" not in str(caught.value)
        away = False
        assert await container.user_service().list(0, 10) == []
