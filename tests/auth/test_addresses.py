"""Signing in under other spellings of an e-mail address, and counting them."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from containers import Container
from tests.support.clients import PASSWORD, client_of

pytestmark = pytest.mark.usefixtures("token_mode")

SPELLINGS = [
    ("ada@xn--bcher-kva.example.com", "ADA@BÜCHER.example.com"),
    ("jose\u0301@example.com", "JOSÉ@example.com"),
    (" grace@example.com ", "Grace@Example.com"),
    (" " * 300 + "hopper@example.com", "hopper@example.com"),
    ("lin@\uff45xample.com", "LIN@example.com"),
    ("Plus+Tag@Example.COM", "plus+tag@example.com"),
    ("straße@example.com", "STRASSE@example.com"),
    ("νίκος@example.com", "ΝΊΚΟΣ@example.com"),
    ("\u0130d\u0131@example.com", "i\u0307d\u0131@example.com"),
    ("a" * 242 + "@example.com", "A" * 242 + "@example.com"),
]


@pytest.fixture
async def limited(container: Container, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncClient]:
    """A client of a service that allows two attempts a minute for an address."""
    monkeypatch.setenv("POOLKEEPER_LIMITS__ENABLED", "true")
    monkeypatch.setenv("POOLKEEPER_LIMITS__LOGIN_PER_ADDRESS", "2/minute")
    monkeypatch.setenv("POOLKEEPER_LIMITS__LOGIN_PER_CLIENT", "1000/minute")
    container.settings.reset()
    async with client_of(container) as client:
        yield client


async def _register(client: AsyncClient, email: str) -> int:
    return (await client.post("/users/", json={"email": email, "password": PASSWORD})).status_code


async def _sign_in(client: AsyncClient, username: str, password: str = PASSWORD) -> int:
    return (await client.post("/token", data={"username": username, "password": password})).status_code


@pytest.mark.parametrize(("registered", "other"), SPELLINGS)
async def test_who_registered_signs_in_under_every_spelling_of_the_address(
    guarded: AsyncClient, registered: str, other: str
) -> None:
    """With the very text that was registered, and with another; and no spelling registers a second time."""
    assert await _register(guarded, registered) == 201
    for spelling in (registered, other):
        assert await _sign_in(guarded, spelling) == 200
        assert await _register(guarded, spelling) == 400


async def test_a_changed_address_is_signed_in_with_and_the_old_one_is_free(guarded: AsyncClient) -> None:
    """From ASCII to another, between two others, and back."""
    await _register(guarded, "nikos@example.com")
    user_id = None
    previous = "nikos@example.com"
    for address, other in (
        ("νίκος@example.com", "ΝΊΚΟΣ@example.com"),
        ("josé@example.com", "JOSÉ@example.com"),
        ("Jose@example.com", "jose@example.com"),
    ):
        token = (await guarded.post("/token", data={"username": previous, "password": PASSWORD})).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        user_id = (await guarded.get("/users/me", headers=headers)).json()["id"]
        changed = await guarded.patch(f"/users/{user_id}", json={"email": address}, headers=headers)
        assert (changed.status_code, changed.json()["email"]) == (200, address)
        assert [await _sign_in(guarded, text) for text in (other, previous)] == [200, 401]
        previous = address
    assert await _register(guarded, "ΝΊΚΟΣ@example.com") == 201


async def test_a_change_of_anything_else_keeps_the_key(guarded: AsyncClient, container: Container) -> None:
    """A PATCH without an address leaves the account where it is found."""
    await _register(guarded, "νίκος@example.com")
    async with container.database().scope("id"):
        user_id = await container.connection().fetchval("SELECT id FROM users")
    token = (await guarded.post("/token", data={"username": "νίκος@example.com", "password": PASSWORD})).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert (await guarded.patch(f"/users/{user_id}", json={}, headers=headers)).status_code == 200
    assert await _sign_in(guarded, "ΝΊΚΟΣ@example.com") == 200


async def test_all_spellings_of_an_address_are_counted_as_one(limited: AsyncClient) -> None:
    """And what PostgreSQL's lower() takes for the address is another, that nobody has."""
    await _register(limited, "straße@example.com")
    tried = [await _sign_in(limited, text, "wrong") for text in ("straße@example.com", "STRASSE@EXAMPLE.COM")]
    assert tried == [401, 401]
    for spelling in ("straße@example.com", "strasse@example.com", " STRAẞE@example.com"):
        assert await _sign_in(limited, spelling) == 429
    await _register(limited, "billing@example.com")
    assert await _sign_in(limited, "b\u0130lling@example.com") == 401


@pytest.mark.parametrize(
    "username", ["ada", "@", "ada@", "a b@example.com", "ada@[127.0.0.1]", "\u202eada@example.com"]
)
async def test_what_is_no_address_is_refused_as_an_unknown_one_is(limited: AsyncClient, username: str) -> None:
    """To the byte, and it is counted as well."""
    unknown = await limited.post("/token", data={"username": "nobody@example.com", "password": "wrong"})
    answers = [await limited.post("/token", data={"username": username, "password": "wrong"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert {**answers[0].json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
