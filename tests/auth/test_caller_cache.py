"""For how long it is believed who a token speaks for."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import pytest
from httpx import AsyncClient

from containers import Container
from service.auth.caller import Caller
from service.auth.caller_cache import CallerCache
from service.auth.settings import AuthSettings
from service.auth.tokens import Claims
from tests.auth.conftest import Person
from tests.support.clients import PASSWORD

pytestmark = pytest.mark.usefixtures("token_mode")
ADA = Claims(sub=1, ver=0)


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for before the container is made."""
    monkeypatch.setenv("POOLKEEPER_AUTH__REMEMBER_SECONDS", "5")


@pytest.fixture
async def ada(person: Callable[..., Awaitable[Person]]) -> Person:
    return await person("ada@example.com")


async def _status(client: AsyncClient, person: Person) -> int:
    return (await client.get("/users/me", headers=person.headers)).status_code


async def _statements(container: Container, client: AsyncClient, person: Person) -> int:
    """How many it takes to read oneself ten times."""
    before = container.database().stats().totals.statements
    for _ in range(10):
        assert await _status(client, person) == 200
    return container.database().stats().totals.statements - before


async def _end_tokens(container: Container, person: Person) -> None:
    """As another process does, of which this one does not hear."""
    async with container.database().scope("elsewhere"):
        await container.connection().execute(
            "UPDATE users SET token_version = token_version + 1 WHERE id = $1", person.id
        )


async def test_each_request_asks_unless_told_otherwise(guarded: AsyncClient, container: Container, ada: Person) -> None:
    """A token that was ended anywhere is refused at once."""
    assert await _statements(container, guarded, ada) == 20
    await _end_tokens(container, ada)
    assert await _status(guarded, ada) == 401


async def test_an_answer_is_believed_for_the_seconds_that_are_set(
    remembering: None, guarded: AsyncClient, container: Container, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a moment longer, however often it was used meanwhile."""
    assert await _statements(container, guarded, ada) == 11
    await _end_tokens(container, ada)
    monkeypatch.setattr("service.auth.caller_cache.monotonic", lambda: monotonic() + 4)
    assert await _status(guarded, ada) == 200
    monkeypatch.setattr("service.auth.caller_cache.monotonic", lambda: monotonic() + 5)
    assert await _status(guarded, ada) == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/password", {"current_password": PASSWORD, "password": "battery staple"}),
        ("PATCH", "", {"is_active": False}),
        ("DELETE", "", None),
    ],
)
async def test_what_this_process_changes_it_believes_no_longer(
    remembering: None,
    guarded: AsyncClient,
    ada: Person,
    person: Callable[..., Awaitable[Person]],
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    """A new password, a deactivation and a deletion end tokens at once, although their user was asked about just now."""
    admin = await person("admin@example.com", is_admin=True)
    assert await _status(guarded, ada) == 200
    changer = ada if method == "PUT" else admin
    changed = await guarded.request(method, f"/users/{ada.id}{path}", json=body, headers=changer.headers)
    assert changed.is_success, changed.text
    assert await _status(guarded, ada) == 401


async def test_a_user_who_becomes_an_admin_is_one_at_once(
    remembering: None, guarded: AsyncClient, container: Container, ada: Person
) -> None:
    """The list of users is an admin's."""
    assert (await guarded.get("/users/", headers=ada.headers)).status_code == 403
    async with container.database().scope("promotion"):
        await container.user_service().make_admin(ada.id)
    assert (await guarded.get("/users/", headers=ada.headers)).status_code == 200


async def test_an_old_token_is_refused_although_a_newer_one_is_believed(
    remembering: None, guarded: AsyncClient, container: Container, ada: Person, person: Callable[..., Awaitable[Person]]
) -> None:
    """What is remembered is a user with a version of its tokens."""
    await _end_tokens(container, ada)
    answer = await guarded.post("/token", data={"username": ada.email, "password": PASSWORD})
    newer = Person(ada.id, ada.email, {"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert await _status(guarded, newer) == 200
    assert await _status(guarded, ada) == 401
    assert await _status(guarded, newer) == 200


class _Accounts:
    """Answers when it is let, with everybody."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def caller(self, claims: Claims) -> Caller:
        self.asked += 1
        await self.may_answer.wait()
        return Caller(user_id=claims.sub, is_admin=False)


async def test_an_answer_that_a_change_has_overtaken_is_not_remembered() -> None:
    """It may say what was so before the change."""
    accounts = _Accounts()
    callers = CallerCache(accounts, AuthSettings(remember_seconds=60))  # type: ignore[arg-type]
    accounts.may_answer.clear()
    asking = asyncio.create_task(callers.get(ADA))
    await asyncio.sleep(0)
    with callers.invalidating(ADA.sub):
        pass
    accounts.may_answer.set()
    await asking
    await callers.get(ADA)
    await callers.get(ADA)
    assert accounts.asked == 2


async def test_a_change_that_fails_has_the_user_asked_about_again() -> None:
    """For it may have been done all the same: a connection that is lost in COMMIT leaves that open."""
    accounts = _Accounts()
    callers = CallerCache(accounts, AuthSettings(remember_seconds=60))  # type: ignore[arg-type]
    await callers.get(ADA)
    with pytest.raises(ConnectionError), callers.invalidating(ADA.sub):
        raise ConnectionError
    await callers.get(ADA)
    assert accounts.asked == 2


async def test_so_many_users_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who was asked about longest ago makes room."""
    monkeypatch.setattr("service.auth.caller_cache._MAX_USERS", 2)
    accounts = _Accounts()
    callers = CallerCache(accounts, AuthSettings(remember_seconds=60))  # type: ignore[arg-type]
    for user_id in (1, 2, 3):
        await callers.get(Claims(sub=user_id, ver=0))
    for user_id, asked in ((2, 3), (3, 3), (1, 4)):
        await callers.get(Claims(sub=user_id, ver=0))
        assert accounts.asked == asked
