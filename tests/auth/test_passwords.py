"""Passwords over HTTP: the form in which they are hashed, and hashes that are made anew at sign-in."""

import asyncio

import pytest
from httpx import AsyncClient
from pydantic import SecretStr

from containers import Container
from service.auth.caller import Caller
from service.auth.passwords import PasswordHasher
from service.auth.schemas import Credentials
from service.auth.settings import PasswordSettings
from service.users.schemas import ChangedPassword
from tests.auth.conftest import Person
from tests.support.clients import PASSWORD, client_of, sign_in

pytestmark = pytest.mark.usefixtures("token_mode")

HASH = "SELECT password_hash FROM users WHERE id = $1"
STORE = "UPDATE users SET password_hash = $2 WHERE id = $1"


@pytest.fixture
def older() -> PasswordHasher:
    """A hasher with other parameters than those configured."""
    return PasswordHasher(PasswordSettings(memory_kib=32, time_cost=1, threads=1, min_length=1))


async def _hash_of(container: Container, user_id: int) -> str:
    async with container.database().scope("look"):
        stored: str = await container.connection().fetchval(HASH, user_id)
        return stored


async def _store(container: Container, user_id: int, password_hash: str) -> None:
    async with container.database().scope("store"):
        await container.connection().execute(STORE, user_id, password_hash)


async def test_a_password_is_the_same_on_each_keyboard(guarded: AsyncClient) -> None:
    """Registered decomposed and with a wide space, typed composed with a plain one; and changed the other way round."""
    body = {"email": "ada@example.com", "password": "cafe\u0301\u3000noir"}
    user_id = (await guarded.post("/users/", json=body)).json()["id"]
    headers = await sign_in(guarded, "ada@example.com", "caf\u00e9 noir")
    change = {"current_password": "caf\u00e9\u00a0noir", "password": "th\u00e9 noir"}
    assert (await guarded.put(f"/users/{user_id}/password", json=change, headers=headers)).status_code == 204
    await sign_in(guarded, "ada@example.com", "the\u0301 noir")


@pytest.mark.parametrize("password", ["a\tb", "line\nbreak", "\x1b", "\x7f", "\x85", "\x9f"])
async def test_a_new_password_has_no_control_characters(guarded: AsyncClient, ada: Person, password: str) -> None:
    """A 422 that names the field, without the password; the current one is not asked for that."""
    created = await guarded.post("/users/", json={"email": "bob@example.com", "password": password})
    change = {"current_password": password, "password": password}
    changed = await guarded.put(f"/users/{ada.id}/password", json=change, headers=ada.headers)
    for answer in (created, changed):
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": "body.password", "message": "must not contain control characters"}]


async def test_an_older_hash_still_signs_in_and_is_made_anew(
    guarded: AsyncClient, container: Container, ada: Person, older: PasswordHasher
) -> None:
    """With the parameters of now, once; the tokens that were given before stay good."""
    for stored, password in (
        (await older.hash(PASSWORD), PASSWORD),
        (container.passwords()._hasher.hash("cafe\u0301\t"), "cafe\u0301\t"),
    ):
        await _store(container, ada.id, stored)
        refused = await guarded.post("/token", data={"username": ada.email, "password": "wrong"})
        assert (refused.status_code, await _hash_of(container, ada.id)) == (401, stored)
        await sign_in(guarded, ada.email, password)
        renewed = await _hash_of(container, ada.id)
        assert renewed != stored
        assert await container.passwords().verify_and_update(password, renewed) == (True, None)
        await sign_in(guarded, ada.email, password)
        assert await _hash_of(container, ada.id) == renewed
        assert (await guarded.get("/users/me", headers=ada.headers)).status_code == 200


async def test_an_inactive_users_hash_is_left_alone(
    guarded: AsyncClient, container: Container, ada: Person, admin: Person, older: PasswordHasher
) -> None:
    """It is refused as anybody else, with the same work."""
    stored = await older.hash(PASSWORD)
    await _store(container, ada.id, stored)
    await guarded.patch(f"/users/{ada.id}", json={"is_active": False}, headers=admin.headers)
    refused = await guarded.post("/token", data={"username": ada.email, "password": PASSWORD})
    assert (refused.status_code, await _hash_of(container, ada.id)) == (401, stored)


async def test_a_current_hash_costs_no_further_statement(
    guarded: AsyncClient, container: Container, ada: Person, older: PasswordHasher
) -> None:
    """One to find the account, and one more where the hash is made anew."""

    async def statements() -> int:
        before = container.database().stats().totals.statements
        await sign_in(guarded, ada.email)
        return container.database().stats().totals.statements - before

    current = await statements()
    await _store(container, ada.id, await older.hash(PASSWORD))
    assert [await statements(), await statements()] == [current + 1, current]


class _Held(PasswordHasher):
    """A hasher whose result waits until it may be used."""

    def __init__(self) -> None:
        super().__init__(PasswordSettings(memory_kib=64, time_cost=1, threads=1, min_length=1))
        self.done, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def verify_and_update(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        result = await super().verify_and_update(password, password_hash)
        self.done.set()
        await self.may_go_on.wait()
        return result

    async def verify(self, password: str, password_hash: str | None) -> bool:
        result = await super().verify(password, password_hash)
        self.done.set()
        await self.may_go_on.wait()
        return result


async def test_a_password_that_is_changed_meanwhile_is_not_overwritten(
    cloned_container: Container, older: PasswordHasher
) -> None:
    """A sign-in that has the old hash in its hands, and would make it anew, leaves the new password alone."""
    held = _Held()
    async with client_of(cloned_container) as client:
        user = (await client.post("/users/", json={"email": "ada@example.com", "password": PASSWORD})).json()
        await _store(cloned_container, user["id"], await older.hash(PASSWORD))
        with cloned_container.passwords.override(held):
            auth = cloned_container.auth_service()
        credentials = Credentials(username="ada@example.com", password=SecretStr(PASSWORD))

        async def late() -> None:
            async with cloned_container.database().scope("a slow sign-in"):
                await auth.sign_in(credentials)

        signing_in = asyncio.create_task(late())
        await held.done.wait()
        headers = await sign_in(client, "ada@example.com")
        change = {"current_password": PASSWORD, "password": "battery staple"}
        assert (await client.put(f"/users/{user['id']}/password", json=change, headers=headers)).status_code == 204
        held.may_go_on.set()
        await signing_in
        await sign_in(client, "ada@example.com", "battery staple")


async def test_a_change_of_password_goes_through_although_a_sign_in_renews_the_hash(
    cloned_container: Container, older: PasswordHasher
) -> None:
    """It knows the password; the hash that it compared with is no longer there."""
    held = _Held()
    async with client_of(cloned_container) as client:
        user = (await client.post("/users/", json={"email": "ada@example.com", "password": PASSWORD})).json()
        await _store(cloned_container, user["id"], await older.hash(PASSWORD))
        with cloned_container.passwords.override(held):
            users = cloned_container.user_service()
        change = ChangedPassword(current_password=SecretStr(PASSWORD), password=SecretStr("battery staple"))

        async def late() -> None:
            async with cloned_container.database().scope("a slow change"):
                await users.change_password(Caller(user_id=user["id"], is_admin=False), user["id"], change)

        changing = asyncio.create_task(late())
        await held.done.wait()
        await sign_in(client, "ada@example.com")
        held.may_go_on.set()
        await changing
        await sign_in(client, "ada@example.com", "battery staple")
