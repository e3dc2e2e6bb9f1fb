"""Signing in, and what a token is good for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
from httpx import AsyncClient
from pydantic import SecretStr

from containers import Container
from service.auth.passwords import PasswordHasher
from service.auth.settings import EXAMPLE_KEY, PasswordSettings
from service.auth.tokens import Claims, Tokens
from service.errors import Unauthorized
from tests.auth.conftest import Person
from tests.support.clients import PASSWORD, sign_in

pytestmark = pytest.mark.usefixtures("token_mode")


async def test_a_token_is_given_for_a_password_and_identifies_its_user(guarded: AsyncClient, ada: Person) -> None:
    """It is a bearer token with its lifetime in seconds, and `/users/me` is whoever sends it."""
    answer = await guarded.post("/token", data={"username": "ADA@example.com", "password": PASSWORD})
    assert answer.status_code == 200
    token = answer.json()
    assert (token["token_type"], token["expires_in"]) == ("bearer", 3600)
    me = await guarded.get("/users/me", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert (me.status_code, me.json()["email"]) == (200, ada.email)


async def test_me_says_whether_one_is_an_admin(guarded: AsyncClient, ada: Person, admin: Person) -> None:
    """There alone: a user as others see it does not say so."""
    mine = (await guarded.get("/users/me", headers=ada.headers)).json()
    user = (await guarded.get(f"/users/{ada.id}", headers=ada.headers)).json()
    assert mine == {**user, "is_admin": False}
    assert list(user) == ["id", "email", "is_active", "items"]
    assert (await guarded.get("/users/me", headers=admin.headers)).json()["is_admin"] is True


async def test_without_a_token_the_answer_says_how_to_sign_in(guarded: AsyncClient) -> None:
    """A 401 is a problem with `WWW-Authenticate`."""
    answer = await guarded.get("/users/me")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic YTpi", "bearer \xff", "x"]
)
async def test_what_is_no_token_is_a_401(guarded: AsyncClient, header: str) -> None:
    """Whatever stands in the header."""
    answer = await guarded.get("/users/me", headers=[(b"Authorization", header.encode("latin-1"))])
    assert answer.status_code == 401


async def test_an_unknown_address_a_wrong_password_and_an_inactive_user_get_one_answer(
    guarded: AsyncClient, ada: Person, admin: Person
) -> None:
    """To the byte, so that nobody learns who is registered."""
    wrong = await guarded.post("/token", data={"username": ada.email, "password": "wrong"})
    unknown = await guarded.post("/token", data={"username": "nobody@example.com", "password": PASSWORD})
    await guarded.patch(f"/users/{ada.id}", json={"is_active": False}, headers=admin.headers)
    inactive = await guarded.post("/token", data={"username": ada.email, "password": PASSWORD})
    assert [answer.status_code for answer in (wrong, unknown, inactive)] == [401] * 3
    bodies = [{**answer.json(), "request_id": ""} for answer in (wrong, unknown, inactive)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["detail"] == "Incorrect e-mail address or password"


async def test_a_refused_sign_in_costs_the_same_whatever_the_reason(guarded: AsyncClient, container: Container) -> None:
    """One statement and one hash each: the quickest of nine with an unknown address is near that with a wrong password."""
    passwords = PasswordHasher(PasswordSettings(memory_kib=19 * 1024, time_cost=2, threads=1, min_length=1))
    stored = await passwords.hash(PASSWORD)
    await passwords.verify("wrong", None)

    async def seconds(password_hash: str | None) -> float:
        started = time.process_time()  # not the clock's: a busy machine makes others wait
        assert not await passwords.verify("wrong", password_hash)
        return time.process_time() - started

    pairs = [(await seconds(stored), await seconds(None)) for _ in range(9)]
    wrong, unknown = map(min, zip(*pairs, strict=True))
    assert 0.5 < wrong / unknown < 2

    async def statements(username: str) -> int:
        before = container.database().stats().totals.statements
        await guarded.post("/token", data={"username": username, "password": "wrong"})
        return container.database().stats().totals.statements - before

    assert await statements("nobody@example.com") == await statements("nobody.else@example.com")


@pytest.mark.parametrize(
    "form",
    [{}, {"username": "ada@example.com"}, {"password": "x"}, {"username": "a\x00", "password": "x"},
     {"username": "a" * 255, "password": "x"}, {"username": "a", "password": "x" * 1025},
     {"username": "a", "password": "x", "grant_type": "client_credentials"}],
)  # fmt: skip
async def test_a_bad_form_is_a_422_that_names_the_field(guarded: AsyncClient, form: dict[str, str]) -> None:
    """Before anything is hashed."""
    answer = await guarded.post("/token", data=form)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("body.")


async def test_a_change_of_password_ends_the_tokens_given_before(guarded: AsyncClient, ada: Person) -> None:
    """The old password and the old tokens are worth nothing; the new ones are good."""
    changed = await guarded.put(
        f"/users/{ada.id}/password",
        json={"current_password": PASSWORD, "password": "battery staple"},
        headers=ada.headers,
    )
    assert changed.status_code == 204
    assert (await guarded.get("/users/me", headers=ada.headers)).status_code == 401
    assert (await guarded.post("/token", data={"username": ada.email, "password": PASSWORD})).status_code == 401
    headers = await sign_in(guarded, ada.email, "battery staple")
    assert (await guarded.get("/users/me", headers=headers)).status_code == 200


async def test_a_password_is_changed_by_who_knows_it_or_by_an_admin(
    guarded: AsyncClient, ada: Person, admin: Person
) -> None:
    """A stolen token alone does not change it."""
    path = f"/users/{ada.id}/password"
    for body in ({"password": "new"}, {"current_password": "wrong", "password": "new"}):
        refused = await guarded.put(path, json=body, headers=ada.headers)
        assert (refused.status_code, refused.json()["detail"]) == (400, "The current password is not right")
    assert (await guarded.get("/users/me", headers=ada.headers)).status_code == 200
    assert (await guarded.put(path, json={"password": "new"}, headers=admin.headers)).status_code == 204
    assert (
        await guarded.put("/users/999999/password", json={"password": "x"}, headers=admin.headers)
    ).status_code == 404


async def test_a_deactivation_ends_the_tokens_for_good(guarded: AsyncClient, ada: Person, admin: Person) -> None:
    """Also when the user is made active again."""
    for is_active in (False, True):
        answer = await guarded.patch(f"/users/{ada.id}", json={"is_active": is_active}, headers=admin.headers)
        assert (answer.status_code, answer.json()["is_active"]) == (200, is_active)
        assert (await guarded.get("/users/me", headers=ada.headers)).status_code == 401
    headers = await sign_in(guarded, ada.email)
    assert (await guarded.get("/users/me", headers=headers)).status_code == 200


async def test_a_deleted_user_is_signed_out(guarded: AsyncClient, ada: Person) -> None:
    """Its token speaks for nobody."""
    assert (await guarded.delete(f"/users/{ada.id}", headers=ada.headers)).status_code == 204
    assert (await guarded.get("/users/me", headers=ada.headers)).status_code == 401


CLAIMS: dict[str, Any] = {"iss": "poolkeeper", "aud": "poolkeeper", "ver": 0}


def forged(user_id: int, key: str = EXAMPLE_KEY, algorithm: str = "HS256", **changes: Any) -> str:
    now = int(time.time())
    claims = {**CLAIMS, "sub": str(user_id), "iat": now, "exp": now + 60, **changes}
    kid = jwt.get_unverified_header(_tokens().issue(Claims(sub=1, ver=0)))["kid"]
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers={"kid": kid})


def _tokens(key: str = EXAMPLE_KEY, previous_key: str | None = None) -> Tokens:
    previous = None if previous_key is None else SecretStr(previous_key)
    return Tokens(key=SecretStr(key), previous_key=previous, issuer="poolkeeper", audience="poolkeeper", seconds=60)


async def test_a_token_made_with_the_right_key_and_claims_is_good(guarded: AsyncClient, ada: Person) -> None:
    """So that the next test's tokens are bad for one reason only."""
    answer = await guarded.get("/users/me", headers={"Authorization": f"Bearer {forged(ada.id)}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"iat": None},
        {"iat": int(time.time()) + 1000},
        {"iss": "somebody"},
        {"iss": None},
        {"aud": "another service"},
        {"aud": None},
        {"ver": 1},
        {"ver": None},
        {"ver": "x"},
        {"ver": 2**70},
        {"sub": None},
        {"sub": "x"},
        {"sub": str(2**63)},
        {"sub": "9" * 5000},
        {"key": "another key, as long as the right one is"},
        {"key": "", "algorithm": "none"},
    ],
)
async def test_a_token_that_is_not_ours_not_for_us_altered_or_expired_is_a_401(
    guarded: AsyncClient, ada: Person, changes: dict[str, Any]
) -> None:
    """One thing at a time is wrong with it."""
    answer = await guarded.get("/users/me", headers={"Authorization": f"Bearer {forged(ada.id, **changes)}"})
    assert answer.status_code == 401, changes


async def test_keys_are_rotated_without_signing_anybody_out() -> None:
    """What the previous key signed is still read; what the one before signed is not."""
    first, second, third = (letter * 32 for letter in "abc")
    token = _tokens(first).issue(Claims(sub=1, ver=0))
    assert _tokens(second, first).read(token) == Claims(sub=1, ver=0)
    assert (
        jwt.get_unverified_header(_tokens(second, first).issue(Claims(sub=1, ver=0)))["kid"]
        != jwt.get_unverified_header(token)["kid"]
    )
    with pytest.raises(Unauthorized):
        _tokens(third, second).read(token)


async def test_one_user_changes_its_password_once_at_a_time(
    person: Callable[..., Awaitable[Person]], guarded: AsyncClient
) -> None:
    """Of two changes that both know the current password, the second one no longer does."""
    ada = await person("ada@example.com")
    body = {"current_password": PASSWORD, "password": "battery staple"}
    answers = await asyncio.gather(
        *(guarded.put(f"/users/{ada.id}/password", json=body, headers=ada.headers) for _ in range(3))
    )
    assert min(answer.status_code for answer in answers) == 204
    assert sum(answer.status_code == 204 for answer in answers) == 1
