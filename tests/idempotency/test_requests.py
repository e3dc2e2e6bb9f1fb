"""`Idempotency-Key` over HTTP, from requests one after the other to processes that are killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from httpx import AsyncClient

from containers import Container
from service.auth.passwords import PasswordHasher
from tests.support.processes import answer, free_port, running

ADA = {"email": "ada@example.com", "password": "correct horse"}
PEN = {"title": "A pen"}
KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


async def _register(client: AsyncClient, email: str = "ada@example.com") -> int:
    user_id: int = (await client.post("/users/", json={**ADA, "email": email})).json()["id"]
    return user_id


async def _count(client: AsyncClient, path: str) -> int:
    return len((await client.get(path)).json())


@pytest.mark.parametrize("key", [b"", b"a" * 256, b"two words", "é".encode(), b"a\tb"])
async def test_a_key_that_is_not_visible_ascii_is_a_422_that_names_it(client: AsyncClient, key: bytes) -> None:
    """Nothing is done."""
    refused = await client.post("/users/", json=ADA, headers={b"Idempotency-Key": key})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "header.Idempotency-Key"
    assert await _count(client, "/users/") == 0


async def test_two_keys_are_a_422(client: AsyncClient) -> None:
    """Either of them could be the one that was meant."""
    refused = await client.post("/users/", json=ADA, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert (refused.status_code, refused.json()["detail"]) == (422, "header.Idempotency-Key: was sent more than once")
    assert await _count(client, "/users/") == 0


async def test_the_same_key_with_another_body_is_a_422(client: AsyncClient) -> None:
    """It says what to do, and what the key was used for stays."""
    first = await client.post("/users/", json=ADA, headers=KEY)
    refused = await client.post("/users/", json={**ADA, "password": "another"}, headers=KEY)
    assert (first.status_code, refused.status_code) == (201, 422)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"] == (
        "header.Idempotency-Key: was used for another request; send a new key with a new request"
    )
    assert await _count(client, "/users/") == 1


async def test_the_same_key_and_body_at_another_address_is_a_422(client: AsyncClient) -> None:
    """A pen for Ada is not a pen for Grace."""
    ada, grace = await _register(client), await _register(client, "grace@example.com")
    assert (await client.post(f"/users/{ada}/items/", json=PEN, headers=KEY)).status_code == 201
    assert (await client.post(f"/users/{grace}/items/", json=PEN, headers=KEY)).status_code == 422
    assert await _count(client, "/items/") == 1


async def test_a_first_attempt_that_failed_does_not_spoil_the_key(client: AsyncClient) -> None:
    """A 404 keeps nothing: when the user is there, the same request gives it an item, once."""
    user_id = await _register(client) + 1
    path = f"/users/{user_id}/items/"
    assert (await client.post(path, json=PEN, headers=KEY)).status_code == 404
    assert await _register(client, "grace@example.com") == user_id
    tried = [await client.post(path, json=PEN, headers=KEY) for _ in range(2)]
    assert [answer.status_code for answer in tried] == [201, 201]
    assert await _count(client, "/items/") == 1


@pytest.mark.parametrize(("path", "body"), [("/users/", ADA), ("/users/{id}/items/", PEN)])
async def test_the_same_request_gives_the_same_answer_again(
    client: AsyncClient, path: str, body: dict[str, str]
) -> None:
    """Byte by byte, with the same status; a header tells which is the copy. There is one row."""
    path = path.format(id=await _register(client, "grace@example.com"))
    before = await _count(client, "/users/") + await _count(client, "/items/")
    first, second = [await client.post(path, json=body, headers=KEY) for _ in range(2)]
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert await _count(client, "/users/") + await _count(client, "/items/") == before + 1


async def test_without_a_key_every_request_is_a_new_one(client: AsyncClient) -> None:
    """Two pens, as ever."""
    user_id = await _register(client)
    for _ in range(2):
        made = await client.post(f"/users/{user_id}/items/", json=PEN)
        assert (made.status_code, "idempotency-replayed" in made.headers) == (201, False)
    assert await _count(client, "/items/") == 2


async def test_ten_requests_at_once_with_one_key_leave_one_row(cloned_client: AsyncClient) -> None:
    """All ten get the one answer."""
    posts = (cloned_client.post("/users/", json=ADA, headers=KEY) for _ in range(10))
    answers = await asyncio.gather(*posts)
    assert {(each.status_code, each.content) for each in answers} == {(201, answers[0].content)}
    assert sum("idempotency-replayed" in each.headers for each in answers) == 9
    assert await _count(cloned_client, "/users/") == 1


async def test_no_connection_is_held_while_a_password_is_hashed(
    client: AsyncClient, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is claimed after that, in the transaction that saves the user."""
    leased = []

    async def hash_and_look(self: PasswordHasher, password: str) -> str:
        leased.append(container.database().stats().leased)
        return "hash"

    monkeypatch.setattr(PasswordHasher, "hash", hash_and_look)
    assert (await client.post("/users/", json=ADA, headers=KEY)).status_code == 201
    assert leased == [0]


async def test_the_header_is_documented(client: AsyncClient) -> None:
    """On each POST that creates, with an example."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    for path in ("/users/", "/users/{user_id}/items/"):
        header = next(each for each in paths[path]["post"]["parameters"] if each["in"] == "header")
        assert (header["name"], header["required"]) == ("Idempotency-Key", False)
        assert "8e03978e-40d5-43e8-bc93-6894a57f9324" in str(header)


async def test_ten_requests_at_once_at_two_workers_leave_one_row(folder: Path, clone_dsn: str) -> None:
    """The key is shared through the database, whoever gets the request."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/users/"
    command = ("uvicorn", "service.main:app", "--workers", "2", "--port", str(port))

    def post_all() -> None:
        with running(*command, cwd=folder, DATABASE_URL=clone_dsn) as process:
            answer(url, process)
            with ThreadPoolExecutor(10) as threads:
                posts = [threads.submit(httpx.post, url, json=ADA, headers=KEY, timeout=60) for _ in range(10)]
                answers = [post.result() for post in posts]
            assert {(each.status_code, each.content) for each in answers} == {(201, answers[0].content)}
            assert len(httpx.get(url, timeout=60).json()) == 1

    await asyncio.to_thread(post_all)


@pytest.fixture
async def outside(clone_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to the service's database that is not the service's."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(clone_dsn)
    yield connection
    await connection.close()


STOPS: dict[str, Any] = {
    "before the answer is stored": "CREATE TRIGGER stop BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION stop()",
    "in COMMIT": "CREATE CONSTRAINT TRIGGER stop AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION stop()",
}


@pytest.mark.parametrize("where", STOPS)
async def test_a_service_that_is_killed_before_it_answers_has_done_it_once_in_the_end(
    folder: Path, clone_dsn: str, outside: "asyncpg.Connection[asyncpg.Record]", where: str
) -> None:
    """SIGKILL between work and answer: whether that was rolled back or committed, the same request again leaves one row."""
    await outside.execute("""
        CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END'
    """)
    await outside.execute(STOPS[where])
    await outside.execute("SELECT pg_advisory_lock(1)")
    port = free_port()
    url = f"http://127.0.0.1:{port}/users/"
    command = ("uvicorn", "service.main:app", "--port", str(port))
    with running(*command, cwd=folder, DATABASE_URL=clone_dsn) as process:
        await asyncio.to_thread(answer, url, process)
        async with AsyncClient(timeout=60) as client:
            post = asyncio.create_task(client.post(url, json=ADA, headers=KEY))
            await _stopped(outside)
            process.send_signal(signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                await post
    await outside.execute("SELECT pg_advisory_unlock(1)")
    with running(*command, cwd=folder, DATABASE_URL=clone_dsn) as process:
        await asyncio.to_thread(answer, url, process)
        async with AsyncClient(timeout=60) as client:
            again = await client.post(url, json=ADA, headers=KEY)
            assert (again.status_code, again.json()["email"]) == (201, ADA["email"])
            assert ("idempotency-replayed" in again.headers) == (where == "in COMMIT")
            assert (await client.get(url)).json() == [again.json()]


async def _stopped(outside: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with asyncio.timeout(60):
        while not await outside.fetchval("SELECT true FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            await asyncio.sleep(0.02)
