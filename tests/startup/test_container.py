"""`opened` and `container_scope`: the life of a container around a program."""

import asyncio

import pytest
from dependency_injector import providers

from containers import Container
from service.database import Database, NoActiveScope
from service.startup import container_scope, opened


@pytest.fixture
def closed_container(clone_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Container:
    """A container on a database of its own, as a program makes it: nothing is open."""
    monkeypatch.setenv("DATABASE_URL", clone_dsn)
    return Container()


async def test_a_scope_of_the_container_is_all_that_a_program_needs(closed_container: Container) -> None:
    """Inside: an open pool and a scope of that name, in child tasks too. After: neither."""
    database = closed_container.database()
    async with container_scope(closed_container, "import") as container:
        assert container is closed_container
        assert database.executor().scope.name == "import"
        counted = await asyncio.gather(*(container.user_service().list(0, 10) for _ in range(3)))
        assert counted == [[], [], []]
    assert not database.is_open
    with pytest.raises(NoActiveScope):
        database.executor()


async def test_an_exception_comes_through_and_the_pool_is_closed(closed_container: Container) -> None:
    """The transaction is rolled back before that: a second run finds nothing."""
    with pytest.raises(ZeroDivisionError):
        async with container_scope(closed_container, "fails") as container, container.connection().transaction():
            await container.connection().execute("INSERT INTO users (email, password_hash) VALUES ('a@b.example', 'x')")
            raise ZeroDivisionError
    assert not closed_container.database().is_open
    async with container_scope(closed_container, "again") as container:
        assert await container.user_service().list(0, 10) == []


async def test_a_cancelled_program_closes_the_pool(closed_container: Container) -> None:
    """In the middle of a statement, as by Ctrl-C."""
    started = asyncio.Event()

    async def program() -> None:
        async with container_scope(closed_container, "long") as container:
            started.set()
            await container.connection().execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(program())
    await started.wait()
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)
    assert not closed_container.database().is_open


async def test_opened_gives_no_scope(closed_container: Container) -> None:
    """Each request of a server has its own: one for all would hide that a handler has none."""
    async with opened(closed_container) as container:
        with pytest.raises(NoActiveScope):
            await container.user_service().list(0, 10)


async def test_what_was_opened_is_closed_when_something_else_cannot_be(closed_container: Container) -> None:
    """A resource fails when the pool is open already: its error comes through, and the pool does not stay open."""

    class Broken(Exception):
        pass

    async def fail(database: Database) -> None:
        while not database.is_open:
            await asyncio.sleep(0.01)
        raise Broken

    class Other(Container):
        broken = providers.Resource(fail, Container.database)

    container = Other()
    with pytest.raises(Broken):
        async with opened(container):
            pytest.fail("it is not open")
    assert not container.database().is_open


async def test_a_container_without_asynchronous_resources_can_be_opened() -> None:
    """As with the pool overridden in a test."""
    container = Container()
    with container.pool.override(providers.Object(None)):
        async with opened(container):
            assert not container.database().is_open
