"""Each route of the application, with good requests and bad ones, is the same with prepared routes and without."""

import asyncio
from collections.abc import AsyncIterator
from itertools import product
from typing import Any, NoReturn

import asyncpg
import pytest
from dependency_injector import providers
from fastapi.routing import iter_route_contexts

from service.app import create_app
from service.auth.access import identify
from service.auth.caller import Caller
from service.auth.tokens import Claims
from service.database import CommitOutcomeUnknown, DatabaseUnavailable, PoolTimeout
from service.items.schemas import Item
from service.web.prepared.route import Prepared
from tests.support.asgi import HOST, Answer, scope_of
from tests.web.prepared.conftest import Both, client_of

GOOD: dict[tuple[str, str], Any] = {
    ("POST", "/users/"): {"email": "ada@example.com", "password": "correct horse"},
    ("PATCH", "/users/{id}"): {"email": "new@example.com"},
    ("PUT", "/users/{id}/password"): {"password": "another"},
    ("POST", "/users/{id}/items/"): {"title": "A desk", "description": "Oak"},
    ("PATCH", "/items/{id}"): {"title": "Another", "description": None},
}
"""Bodies that are right."""
PATHS = (
    "/users/", "/users/me", "/users/{id}", "/users/{id}/password", "/users/{id}/items/", "/users/{id}/items/import",
    "/items/", "/items/export", "/items/{id}", "/token", "/health/live", "/health/ready", "/", "/docs",
    "/openapi.json", "/docs/assets/page.js", "/users", "/items/1/", "//items/1", "/nothing", "/items/1%0a", "",
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "SPAM")
IDS = (
    "2",
    "999",
    "0",
    "-1",
    "+1",
    "01",
    "1.0",
    "1e3",
    "abc",
    "%20",
    "%00",
    "1%0a",
    "1%2F2",
    "9223372036854775808",
    "é",
)
QUERIES = (
    "limit=1", "limit=1&after=1", "limit=2&limit=1", "limit=0", "limit=501", "limit=abc", "limit=", "limit", "skip=1",
    "skip=-1", "skip=%ff", "after=9223372036854775808", "after=1&skip=1", "Limit=1", "unknown=1", "limit=+1", "&&",
)  # fmt: skip
BODIES = (
    b"", b"{", b"{}", b"null", b"[]", b"1", b'"text"', b"\xff", b"NaN", b'{"title": 1}', b'{"title": ""}',
    b'{"title": "A", "unknown": 1}', b'{"title": "A", "title": "B"}', b'{"title": "\\u0000"}', b'{"title": "\\ud800"}',
    b'\xef\xbb\xbf{"title": "A"}', '{"title": "A"}'.encode("utf-16"), b'{"title": "A"}{}', b"[" * 100_000, b" " * 2**20 + b"{}",
    b'{"email": "user2@example.com", "password": "correct horse"}', b'{"email": "no address", "password": ""}',
)  # fmt: skip
TYPES = (
    None, "", "application/json; charset=utf-8", "Application/JSON", "application/problem+json", "application/jsonp",
    "text/plain", "text/csv", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense",
)  # fmt: skip
KEYS = ("a-key", "", " ", "with space", "x" * 256)


def _tokens(both: Both) -> list[str | None]:
    """Authorization: none, wrong in every way, of user 1, of user 2, an admin, and of nobody any more."""
    good = [f"Bearer {both.container.tokens().issue(Claims(sub=user, ver=0))}" for user in (1, 2, 999)]
    return [None, "", "Bearer", "Bearer ", "Bearer nonsense", "Basic YTpi", f"bearer {good[0][7:]}", *good]


def _admin(both: Both) -> dict[str, str]:
    return {"Authorization": _tokens(both)[-2] or ""}


async def test_every_method_at_every_path(both: Both) -> None:
    """And at paths that are nobody's."""
    statuses = set()
    for method, path in product(METHODS, PATHS):
        body = GOOD.get((method, path))
        url = path.replace("{id}", "1")
        statuses.add(await both.compare(method, url, json=body, headers=_admin(both)))
    assert {200, 201, 204, 307, 404, 405, 415, 422} <= statuses


async def test_ids(both: Both) -> None:
    """In a path they can be anything."""
    statuses = set()
    routes = [
        ("GET", "/users/{id}"),
        ("GET", "/items/{id}"),
        ("DELETE", "/items/{id}"),
        ("GET", "/users/{id}/items/"),
        *GOOD,
    ]
    for (method, path), value in product(routes, IDS):
        body = GOOD.get((method, path))
        statuses.add(await both.compare(method, path.replace("{id}", value), json=body, headers=_admin(both)))
    assert {200, 201, 204, 404, 422} <= statuses


async def test_queries(both: Both) -> None:
    """Wrong, empty, twice, and what nobody asked for."""
    statuses = set()
    for path, query in product(("/users/", "/items/", "/users/1/items/", "/items/1"), QUERIES):
        statuses.add(await both.compare("GET", f"{path}?{query}", headers=_admin(both)))
    assert statuses == {200, 422}


async def test_bodies(both: Both) -> None:
    """What is no JSON, no object, too much or the wrong thing; in one piece and in several."""
    statuses = set()
    for (method, path), body in product(GOOD, BODIES):
        headers = {**_admin(both), "Content-Type": "application/json"}
        url = path.replace("{id}", "1")
        statuses.add(await both.compare(method, url, content=body, headers=headers))
    headers = {**_admin(both), "Content-Type": "application/json"}
    for body in BODIES[:8] + BODIES[-3:]:
        statuses.add(await _in_pieces(both, body, headers))
    assert {200, 201, 400, 413, 422} <= statuses


async def _in_pieces(both: Both, body: bytes, headers: dict[str, str]) -> int:
    class Pieces:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for start in range(0, len(body), 1 + len(body) // 3):
                yield body[start : start + 1 + len(body) // 3]

    return await both.compare("POST", "/users/", content=Pieces(), headers=headers)


async def test_content_types(both: Both) -> None:
    """The ways to say JSON, and not to say it."""
    statuses = set()
    for media_type in TYPES:
        headers = {**_admin(both), **({} if media_type is None else {"Content-Type": media_type})}
        for method, path in GOOD:
            url = path.replace("{id}", "1")
            statuses.add(await both.compare(method, url, content=b'{"title": "A"}', headers=headers))
        twice = [*_admin(both).items(), ("Content-Type", "application/json"), ("Content-Type", media_type or "")]
        statuses.add(await both.compare("POST", "/users/1/items/", content=b'{"title": "A"}', headers=twice))
    assert {200, 201, 415, 422} <= statuses


async def test_callers(both: Both) -> None:
    """Whoever calls, with a request that is good and with one that is not."""
    statuses = set()
    for token, (method, path) in product(
        _tokens(both), [("GET", "/users/me"), ("GET", "/users/{id}"), ("GET", "/items/"), *GOOD]
    ):
        headers = {} if token is None else {"Authorization": token}
        for value in ("1", "3", "abc"):
            body = GOOD.get((method, path))
            statuses.add(await both.compare(method, path.replace("{id}", value), json=body, headers=headers))
    twice = [("Authorization", "Bearer nonsense"), *_admin(both).items()]
    statuses.add(await both.compare("GET", "/items/1", headers=twice))
    assert {200, 201, 401, 403, 422} <= statuses


async def test_idempotency_keys(both: Both) -> None:
    """Good, and none that could be one."""
    statuses = set()
    for key, path in product(KEYS, ("/users/", "/users/{id}/items/")):
        headers = {**_admin(both), "Idempotency-Key": key}
        url = path.replace("{id}", "1")
        statuses.add(await both.compare("POST", url, json=GOOD["POST", path], headers=headers))
    twice = [*_admin(both).items(), ("Idempotency-Key", "one"), ("Idempotency-Key", "")]
    statuses.add(await both.compare("POST", "/users/1/items/", json={"title": "A"}, headers=twice))
    assert statuses == {201, 422}


@pytest.mark.parametrize(
    "error",
    [
        DatabaseUnavailable("secret"), PoolTimeout("secret"), CommitOutcomeUnknown("secret"), asyncpg.DeadlockDetectedError("x"),
        ValueError("secret"), KeyError("secret"), ExceptionGroup("several", [ValueError("secret")]),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_errors_inside(both: Both, error: Exception) -> None:
    """Those that have a status, and those that nobody expects."""

    class Broken:
        async def get(self, item_id: int, *, owner_id: int | None) -> NoReturn:
            raise error

    with both.container.item_service.override(providers.Object(Broken())):
        assert await both.compare("GET", "/items/1", headers=_admin(both)) >= 500


@pytest.mark.parametrize("result", [None, {"id": 1}, {"id": "7", "title": "A", "description": None, "owner_id": 1}, 5])
async def test_answers_that_are_no_items(both: Both, result: object) -> None:
    """What a service gives is validated: a failure where it is wrong, and made right where it can be."""

    class Careless:
        async def get(self, item_id: int, *, owner_id: int | None) -> object:
            return result

    with both.container.item_service.override(providers.Object(Careless())):
        status = await both.compare("GET", "/items/1", headers=_admin(both))
    assert status == (200 if isinstance(result, dict) and "title" in result else 500)


async def test_a_body_that_breaks_off(both: Both) -> None:
    """The client leaves in the middle of it."""
    for messages in ([], [{"type": "http.request", "body": b'{"title"', "more_body": True}]):
        answers = []
        for app in (both.prepared, both.plain):
            incoming = iter([*messages, {"type": "http.disconnect"}, {"type": "http.disconnect"}])
            headers = [
                HOST,
                (b"content-length", b"14"),
                (b"content-type", b"application/json"),
                (b"x-request-id", b"1"),
            ]
            answer = Answer()
            headers.append((b"authorization", _admin(both)["Authorization"].encode()))

            async def receive(incoming: Any = incoming) -> Any:
                return next(incoming)

            await app(scope_of("POST", "/users/1/items/", headers), receive, answer.send)
            answers.append(answer.messages)
        assert answers[0] == answers[1]
        assert answers[0][0]["status"] == 400


async def test_an_override_works_at_once_and_for_as_long_as_it_lasts(both: Both) -> None:
    """Of a service, after the application has answered before."""

    class Fake:
        async def get(self, item_id: int, *, owner_id: int | None) -> Item:
            return Item(id=item_id, title="fake", description=None, owner_id=1)

    await both.seed()
    client = both.clients[0]
    assert (await client.get("/items/1", headers=_admin(both))).json()["title"] == "A pen"
    with both.container.item_service.override(providers.Object(Fake())):
        assert (await client.get("/items/1", headers=_admin(both))).json()["title"] == "fake"
    assert (await client.get("/items/1", headers=_admin(both))).json()["title"] == "A pen"


async def test_an_override_may_be_asynchronous(both: Both) -> None:
    """What a provider gives is awaited where it has to be."""

    class Fake:
        async def get(self, item_id: int, *, owner_id: int | None) -> Item:
            return Item(id=item_id, title="fake", description=None, owner_id=1)

    async def fake() -> Fake:
        return Fake()

    with both.container.item_service.override(providers.Coroutine(fake)):
        assert await both.compare("GET", "/items/1", headers=_admin(both)) == 200
        assert (await both.clients[0].get("/items/1", headers=_admin(both))).json()["title"] == "fake"


async def test_what_was_unwired_answers_no_more(both: Both) -> None:
    """As in a test that gives back its container."""
    assert await both.compare("GET", "/items/1", headers=_admin(both)) == 200
    headers = _admin(both)
    both.container.unwire()
    assert await both.compare("GET", "/items/1", headers=headers) == 500


async def test_fastapis_own_overrides_work_too(both: Both) -> None:
    """`app.dependency_overrides`, set and taken back at any time."""
    await both.seed()

    async def third() -> Caller:
        return Caller(user_id=3, is_admin=False)

    for app, client in zip((both.prepared, both.plain), both.clients, strict=True):
        app.dependency_overrides[identify] = third
        assert (await client.get("/users/me")).json()["id"] == 3
        app.dependency_overrides.clear()
        assert (await client.get("/users/me")).status_code in {401, 404}


async def test_requests_at_once_keep_apart(both: Both) -> None:
    """Nothing of a request is kept in its route."""
    await both.seed()
    paths = ["/items/1", "/items/2", "/items/3", "/users/1", "/items/999"] * 10
    answers = await asyncio.gather(*(both.clients[0].get(path, headers=_admin(both)) for path in paths))
    for path, answer in zip(paths, answers, strict=True):
        assert (answer.json().get("id") or 999) == int(path.rpartition("/")[2])


async def test_what_is_hot_is_prepared(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that users and items are asked for goes the prepared way, and nothing does where it is switched off."""
    prepared = []
    answer = Prepared.answer

    async def counting(self: Prepared, *arguments: Any) -> Any:
        prepared.append(getattr(self.endpoint, "__name__", ""))
        return await answer(self, *arguments)

    monkeypatch.setattr(Prepared, "answer", counting)
    for client in both.clients:
        await both.seed()
        for path in ("/items/1", "/items/?limit=1", "/users/1", "/users/", "/users/1/items/", "/health/live"):
            assert (await client.get(path, headers=_admin(both))).status_code == 200
        assert (await client.post("/users/1/items/", json={"title": "A"}, headers=_admin(both))).status_code == 201
    assert prepared == [
        "read_item", "list_items", "read_user", "list_users", "list_items_of_user", "live", "create_item",
    ]  # fmt: skip


async def test_the_switch_is_on(both: Both) -> None:
    """By default, and the same routes are there either way."""
    assert both.container.settings().performance.prepared_routes
    ways = [
        [(route.path, route.methods) for route in iter_route_contexts(app.routes)]
        for app in (both.prepared, both.plain)
    ]
    assert ways[0] == ways[1]
    async with client_of(create_app(both.container)) as client:
        assert (await client.get("/health/live")).status_code == 200
