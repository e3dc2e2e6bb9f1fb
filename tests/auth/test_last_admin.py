"""The last admin stays one, however and however often its removal is tried."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from httpx import AsyncClient, Response
from pydantic import SecretStr

from containers import Container
from service.users.errors import LastAdmin
from service.users.schemas import NewUser
from tests.auth.conftest import Person
from tests.support.clients import PASSWORD, client_of, sign_in

pytestmark = pytest.mark.usefixtures("token_mode")

Removal = Callable[[AsyncClient, Person, Person], Awaitable[Response]]
ADMINS = "SELECT count(*) FROM users WHERE is_admin AND is_active"


async def _delete(client: AsyncClient, who: Person, whom: Person) -> Response:
    return await client.delete(f"/users/{whom.id}", headers=who.headers)


async def _deactivate(client: AsyncClient, who: Person, whom: Person) -> Response:
    return await client.patch(f"/users/{whom.id}", json={"is_active": False}, headers=who.headers)


REMOVALS = pytest.mark.parametrize("remove", [_delete, _deactivate])


@REMOVALS
async def test_the_only_admin_cannot_remove_itself(
    guarded: AsyncClient, admin: Person, ada: Person, remove: Removal
) -> None:
    """A 409 that says what to do; it is still signed in, and other changes and other users are as free as before."""
    refused = await remove(guarded, admin, admin)
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("The last admin cannot be deleted or made inactive")
    changed = await guarded.patch(f"/users/{admin.id}", json={"email": "root@example.com"}, headers=admin.headers)
    assert (changed.status_code, changed.json()["is_active"]) == (200, True)
    assert (await remove(guarded, admin, ada)).is_success


@REMOVALS
async def test_an_admin_that_is_inactive_does_not_count(
    guarded: AsyncClient, admin: Person, person: Callable[..., Awaitable[Person]], remove: Removal
) -> None:
    """Of two, one can be made inactive; then the other stays, and the inactive one can be deleted."""
    other = await person("other@example.com", is_admin=True)
    assert (await _deactivate(guarded, admin, other)).status_code == 200
    assert (await remove(guarded, admin, admin)).status_code == 409
    assert (await _deactivate(guarded, admin, other)).status_code == 200
    assert (await _delete(guarded, admin, other)).status_code == 204


async def test_the_service_itself_refuses(container: Container, admin: Person) -> None:
    """Whoever calls it, without HTTP: a script, a job, a command."""
    async with container.database().scope("script"):
        with pytest.raises(LastAdmin):
            await container.user_service().delete(admin.id)


@pytest.fixture
async def committed(cloned_container: Container) -> AsyncIterator[AsyncClient]:
    """A client of a service that commits."""
    async with client_of(cloned_container) as client:
        yield client


@pytest.mark.parametrize("first", [_delete, _deactivate])
@pytest.mark.parametrize("second", [_delete, _deactivate])
async def test_two_admins_that_remove_each_other_at_once_leave_one(
    cloned_container: Container, committed: AsyncClient, first: Removal, second: Removal
) -> None:
    """Ten times over, with each removal on its own connection: one succeeds, and one admin is left."""
    for number in range(10):
        pair = [await _admin(cloned_container, committed, f"{name}{number}@example.com") for name in ("one", "two")]
        async with cloned_container.database().scope("others"):
            await cloned_container.connection().execute("DELETE FROM users WHERE id < $1", pair[0].id)
        answers = await asyncio.gather(first(committed, pair[0], pair[1]), second(committed, pair[1], pair[0]))
        codes = sorted(answer.status_code for answer in answers)
        assert codes[0] in {200, 204}, codes
        assert codes[1] in {401, 409}, codes  # 401: it was removed before it was asked who it is
        async with cloned_container.database().scope("look"):
            assert await cloned_container.connection().fetchval(ADMINS) == 1


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
async def test_a_removal_waits_for_another_one_to_end(cloned_container: Container, isolation: str) -> None:
    """The second begins while the first has not committed: it sees, or collides with, what the first has left."""
    service, connection = cloned_container.user_service(), cloned_container.connection()
    async with cloned_container.database().scope("set up"):
        ids = [
            (await service.register(NewUser(email=f"{name}@example.com", password=SecretStr(PASSWORD)))).id
            for name in ("one", "two")
        ]
        for user_id in ids:
            await service.make_admin(user_id)

    async def remove() -> str:
        async with cloned_container.database().scope("second"):
            try:
                async with connection.transaction(isolation=isolation.replace(" ", "_")):  # type: ignore[arg-type]
                    await service.delete(ids[0])
            except Exception as error:  # noqa: BLE001 - which one is compared
                return type(error).__name__
            return "deleted"

    async with cloned_container.database().scope("first"):
        async with connection.transaction():
            await service.delete(ids[1])
            second = asyncio.create_task(remove())
            await _until_one_waits(cloned_container)
        assert await second == ("LastAdmin" if isolation == "read committed" else "SerializationError")
        assert await connection.fetchval(ADMINS) == 1


async def test_the_removal_of_an_ordinary_user_holds_up_no_admin(cloned_container: Container) -> None:
    """However long it takes: an admin's own row is free."""
    service, connection = cloned_container.user_service(), cloned_container.connection()
    async with cloned_container.database().scope("set up"):
        admin, user = [
            (await service.register(NewUser(email=f"{name}@example.com", password=SecretStr(PASSWORD)))).id
            for name in ("admin", "user")
        ]
        await service.make_admin(admin)
    async with cloned_container.database().scope("first"), connection.transaction():
        await service.delete(user)
        async with cloned_container.database().scope("second"), connection.transaction():
            await connection.fetchval("SELECT id FROM users WHERE id = $1 FOR UPDATE NOWAIT", admin)


async def _until_one_waits(container: Container) -> None:
    waiting = """
        SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
    """
    async with asyncio.timeout(60), container.database().scope("look"):
        while not await container.connection().fetchval(waiting):
            await asyncio.sleep(0.01)


async def _admin(container: Container, client: AsyncClient, email: str) -> Person:
    async with container.database().scope("an admin"):
        user = await container.user_service().register(NewUser(email=email, password=SecretStr(PASSWORD)))
        await container.user_service().make_admin(user.id)
    return Person(user.id, email, await sign_in(client, email))
