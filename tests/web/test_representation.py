"""`Location`, `ETag`, `If-None-Match` and `If-Match` of users and items."""

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from containers import Container
from service.app import create_app
from service.items.schemas import Item
from service.items.version import ITEM_TAG
from service.users.schemas import User
from service.users.version import USER_TAG
from service.web.representation import tag_of
from tests.support.clients import client_of

ADA = {"email": "ada@example.com", "password": "correct horse"}
STALE = '"0123456789abcdef0123456789abcdef"'

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


@pytest.fixture
async def user(client: AsyncClient) -> dict[str, Any]:
    """A user with an item."""
    user = (await client.post("/users/", json=ADA)).json()
    await client.post(f"/users/{user['id']}/items/", json={"title": "A pen"})
    answer: dict[str, Any] = (await client.get(f"/users/{user['id']}")).json()
    return answer


@pytest.fixture
def item_path(user: dict[str, Any]) -> str:
    return f"/items/{user['items'][0]['id']}"


@pytest.fixture
def user_path(user: dict[str, Any]) -> str:
    return f"/users/{user['id']}"


async def _tag(client: AsyncClient, path: str) -> str:
    return (await client.get(path)).headers["etag"]


@given(titles=st.lists(_texts, max_size=4), description=st.none() | _texts)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_postgresql_and_the_service_give_one_version_one_tag(
    container: Container, titles: list[str], description: str | None
) -> None:
    """Whatever characters are in it: else a change with `If-Match` could never succeed."""
    connection = container.connection()
    async with container.database().scope("tags"):
        await connection.execute("DELETE FROM users")
        user = await container.user_repository().add("ada@example.com", "hash")
        for title in titles:
            row = await connection.fetchrow(
                "INSERT INTO items (title, description, owner_id) VALUES ($1, $2, $3) RETURNING *",
                title, description, user.id,
            )  # fmt: skip
            assert row is not None
            item = Item(row["id"], row["title"], row["description"], row["owner_id"])
            stored = await connection.fetchval(f"SELECT {ITEM_TAG} FROM items WHERE id = $1", item.id)
            assert f'"{stored}"'.encode() == tag_of(TypeAdapter(Item).dump_json(item))
        stored = await connection.fetchval(f"SELECT {USER_TAG} FROM users")
        found = await container.user_repository().get(user.id)
        assert found is not None
        assert f'"{stored}"'.encode() == tag_of(TypeAdapter(User).dump_json(found))


async def test_every_answer_with_one_object_has_its_tag(client: AsyncClient) -> None:
    """That of POST, PATCH, GET and HEAD is the same for the same version."""
    made = await client.post("/users/", json=ADA)
    path = made.headers["location"]
    assert made.headers["etag"] == await _tag(client, path) == (await client.head(path)).headers["etag"]
    changed = await client.patch(path, json={"email": "countess@example.com"})
    assert changed.headers["etag"] == await _tag(client, path) != made.headers["etag"]
    item = await client.post(f"{path}/items/", json={"title": "A pen"})
    assert item.headers["etag"] == await _tag(client, item.headers["location"])
    assert (await client.get("/users/")).headers.get("etag") is None


async def test_a_users_tag_changes_with_its_items(client: AsyncClient, user_path: str, item_path: str) -> None:
    """They are part of what is shown."""
    tags = [await _tag(client, user_path)]
    await client.patch(item_path, json={"title": "Another"})
    tags.append(await _tag(client, user_path))
    await client.post(f"{user_path}/items/", json={"title": "A cup"})
    tags.append(await _tag(client, user_path))
    await client.delete(item_path)
    tags.append(await _tag(client, user_path))
    assert len(set(tags)) == 4
    assert (await client.patch(user_path, json={}, headers={"If-Match": tags[0]})).status_code == 412
    assert (await client.patch(user_path, json={}, headers={"If-Match": tags[-1]})).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_client_has_is_not_sent_again(
    client: AsyncClient, user_path: str, item_path: str, method: str
) -> None:
    """304, with the tag, without a body; weak tags count as well, and what is no list of tags does not."""
    for path in (user_path, item_path):
        tag = await _tag(client, path)
        for known in (tag, f"W/{tag}", f"{STALE}, {tag}", f'"a,b" ,, {tag}', "*"):
            answer = await client.request(method, path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), known
        for unknown in (STALE, "", tag.strip('"'), f"{tag} {tag}", '"', "W/"):
            answer = await client.request(method, path, headers={"If-None-Match": unknown})
            assert (answer.status_code, answer.headers["etag"]) == (200, tag), unknown


async def test_a_change_depends_on_the_version_that_was_read(
    client: AsyncClient, user_path: str, item_path: str
) -> None:
    """412 for every other, and nothing has changed; several tags and `*` are known."""
    for path, change in ((item_path, {"title": "hers"}), (user_path, {"email": "countess@example.com"})):
        before = await _tag(client, path)
        for stale in (STALE, f"W/{before}", f"{STALE}, W/{before}", f'"{before[1:-2]}"'):
            for method, body in (("PATCH", change), ("DELETE", None)):
                answer = await client.request(method, path, json=body, headers={"If-Match": stale})
                assert answer.status_code == 412, (method, stale)
                assert answer.json()["detail"].startswith("It has been changed since")
        assert await _tag(client, path) == before
        changed = await client.patch(path, json=change, headers={"If-Match": f"{STALE}, {before}"})
        assert changed.status_code == 200
        assert (await client.patch(path, json=change, headers={"If-Match": before})).status_code == 412
        assert (await client.patch(path, json=change, headers={"If-Match": "*"})).status_code == 200
        lines = [("If-Match", STALE), ("If-Match", changed.headers["etag"])]
        assert (await client.patch(path, json=change, headers=lines)).status_code == 200
        assert (await client.delete(path, headers={"If-Match": await _tag(client, path)})).status_code == 204
        assert (await client.patch(path, json=change, headers={"If-Match": before})).status_code == 404
        assert (await client.delete(path, headers={"If-Match": "*"})).status_code == 404


async def test_a_password_is_changed_for_the_version_that_was_read(client: AsyncClient, user_path: str) -> None:
    """And the right password with a version of before is a 412."""
    body = {"current_password": ADA["password"], "password": "battery staple"}
    path = f"{user_path}/password"
    assert (await client.put(path, json=body, headers={"If-Match": STALE})).status_code == 412
    headers = {"If-Match": await _tag(client, user_path)}
    assert (await client.put(path, json=body, headers=headers)).status_code == 204


async def test_a_change_with_the_condition_of_a_read_is_a_400(client: AsyncClient, item_path: str) -> None:
    """It must not be made where the tag is that of now, and nobody sends it but by mistake."""
    for method, body in (("PATCH", {"title": "his"}), ("DELETE", None)):
        for condition in ("*", await _tag(client, item_path), STALE):
            answer = await client.request(method, item_path, json=body, headers={"If-None-Match": condition})
            assert (answer.status_code, answer.json()["detail"][:21]) == (400, "header.If-None-Match:")
    assert (await client.get(item_path)).json()["title"] == "A pen"


@pytest.mark.parametrize("given", ["", "abc", '"a', 'a"', '"a" "b"', '"a"b', "W/", "*, *", ",", '"a b"', '"a", *'])
async def test_what_is_no_list_of_tags_is_a_400(client: AsyncClient, item_path: str, given: str) -> None:
    """For what depends on it: nobody knows what was meant."""
    for method, body in (("PATCH", {"title": "his"}), ("DELETE", None)):
        answer = await client.request(method, item_path, json=body, headers={"If-Match": given})
        assert (answer.status_code, answer.json()["detail"][:16]) == (400, "header.If-Match:")


@pytest.mark.parametrize("what", ["item", "user"])
async def test_of_changes_of_one_version_at_once_one_succeeds(cloned_client: AsyncClient, what: str) -> None:
    """The statement itself compares: what others have committed meanwhile counts."""
    await cloned_client.post("/users/", json=ADA)
    await cloned_client.post("/users/1/items/", json={"title": "A pen"})
    path = "/items/1" if what == "item" else "/users/1"
    for turn in range(5):
        headers = {"If-Match": await _tag(cloned_client, path)}
        changes = [
            {"title": f"{turn} {n}"} if what == "item" else {"email": f"ada{turn}-{n}@example.com"} for n in range(10)
        ]
        answers = await asyncio.gather(*(cloned_client.patch(path, json=each, headers=headers) for each in changes))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] + [412] * 9
        [won] = [answer for answer in answers if answer.status_code == 200]
        assert (await cloned_client.get(path)).json() == won.json()


@pytest.mark.parametrize("mounted", ["", "/api", "/a b/é"])
async def test_what_was_created_is_where_it_is_said_to_be(container: Container, mounted: str) -> None:
    """The path is absolute, also below another application, and for an answer that is given again."""
    parent = FastAPI()
    parent.mount(mounted, create_app(container))
    async with client_of(parent) as client:
        user = await client.post(f"{mounted}/users/", json=ADA)
        key = {"Idempotency-Key": "a-key"}
        item, again = [
            await client.post(f"{user.headers['location']}/items/", json={"title": "A pen"}, headers=key)
            for _ in range(2)
        ]
        lines = await client.post(
            f"{user.headers['location']}/items/import", content=b'{"title":"A cup"}\n',
            headers={"Content-Type": "application/jsonl"},
        )  # fmt: skip
        assert (await client.get(user.headers["location"])).json()["email"] == ADA["email"]
        assert (await client.get(item.headers["location"])).json() == item.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == item.headers["location"]
        assert again.headers["etag"] == item.headers["etag"]
        assert len((await client.get(lines.headers["location"])).json()) == 2


async def test_behind_a_proxy_that_takes_a_prefix_away_the_path_has_it(container: Container) -> None:
    """As `--root-path` tells the service."""
    async with client_of(container, root_path="/api") as client:
        user = await client.post("/api/users/", json=ADA)
    assert user.headers["location"] == f"/api/users/{user.json()['id']}"


def test_openapi_says_all_of_it() -> None:
    """Headers of requests and answers, and the answers 304 and 412."""
    paths = json.loads(json.dumps(create_app(Container()).openapi()))["paths"]
    for path in ("/users/", "/users/{user_id}/items/"):
        assert {"Location", "ETag"} <= paths[path]["post"]["responses"]["201"]["headers"].keys()
    assert "Location" in paths["/users/{user_id}/items/import"]["post"]["responses"]["201"]["headers"]
    for path in ("/users/{user_id}", "/items/{item_id}"):
        get, patch, delete = (paths[path][method] for method in ("get", "patch", "delete"))
        assert "ETag" in get["responses"]["200"]["headers"]
        assert "304" in get["responses"]
        assert "If-None-Match" in {parameter["name"] for parameter in get["parameters"]}
        for operation in (patch, delete):
            assert "412" in operation["responses"]
            assert "If-Match" in {parameter["name"] for parameter in operation["parameters"]}
