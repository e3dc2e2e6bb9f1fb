"""Items exported as a stream."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from dependency_injector import providers
from httpx import AsyncClient

from containers import Container
from service.items.bulk.exports import ItemExports
from service.items.bulk.formats import CsvLines
from service.items.bulk.settings import BulkSettings
from service.items.bulk.slots import BulkSlots
from service.items.schemas import Imported
from service.startup import opened
from tests.database.helpers import until, whole
from tests.support.sockets import EXPORT, import_beginning, listening, sent

PATIENCE = 20
MANY = 20_000

INSERT_MANY = """
    WITH owner AS (INSERT INTO users (email, password_hash) VALUES ('ada@example.com', 'x') RETURNING id)
    INSERT INTO items (title, description, owner_id)
    SELECT 'A pen ' || number, repeat('Blue ', 200), owner.id FROM owner, generate_series(1, $1::int) AS number
"""


@pytest.fixture
async def full(cloned_container: Container) -> Container:
    """A container of a database with 20 MB of items: more than sockets buffer."""
    await _fill(cloned_container)
    return cloned_container


async def _fill(container: Container, count: int = MANY) -> None:
    async with container.database().scope("fill"):
        await container.connection().execute(INSERT_MANY, count)


async def _lines(container: Container, owner_id: int | None) -> list[dict[str, object]]:
    parts: list[bytes] = []

    async def write(part: bytes) -> None:
        parts.append(part)

    async with container.database().scope("export"):
        await container.item_exports().run(owner_id, write)
    return [json.loads(line) for line in b"".join(parts).splitlines()]


async def test_no_items_are_an_empty_body(client: AsyncClient) -> None:
    """An answer all the same."""
    answer = await client.get("/items/export")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/x-ndjson", b"")


async def test_each_line_is_an_item_as_elsewhere_in_the_api(client: AsyncClient) -> None:
    """All users' items, in the order of their ids, whatever characters they hold."""
    owner = (await client.post("/users/", json={"email": "ada@example.com", "password": "correct horse"})).json()["id"]
    for title, description in [("A pen", None), ("\\ \" ' \t\n\r \x01 \x7f", "\u2028\ufeff😀"), ("Ä", "")]:
        await client.post(f"/users/{owner}/items/", json={"title": title, "description": description})
    answer = await client.get("/items/export")
    lines = answer.content.split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == (await client.get("/items/")).json()


async def test_an_owner_gets_their_own_items_only(cloned_container: Container) -> None:
    """Nobody else's."""
    await _fill(cloned_container, 5)
    async with cloned_container.database().scope("second"):
        connection = cloned_container.connection()
        other = await connection.fetchval("INSERT INTO users (email, password_hash) VALUES ('b@c', 'x') RETURNING id")
        await connection.execute("INSERT INTO items (title, owner_id) VALUES ('Mine', $1)", other)
    assert [line["title"] for line in await _lines(cloned_container, other)] == ["Mine"]
    assert len(await _lines(cloned_container, None)) == 6


async def test_an_export_is_of_one_moment(cloned_container: Container) -> None:
    """What is deleted or added while it runs makes no difference, and each item comes once."""
    await _fill(cloned_container, 5000)
    connection = cloned_container.connection()
    titles: list[str] = []

    async def write(part: bytes) -> None:
        if not titles:
            async with cloned_container.database().scope("meanwhile"):
                await connection.execute("DELETE FROM items WHERE id % 2 = 0")
                await connection.execute("INSERT INTO items (title, owner_id) SELECT 'new', min(id) FROM users")
        titles.extend(json.loads(line)["title"] for line in part.splitlines())

    async with cloned_container.database().scope("export"):
        await cloned_container.item_exports().run(None, write)
    assert titles == [f"A pen {number}" for number in range(1, 5001)]


async def test_an_export_that_finds_no_slot_is_a_503_at_once(container: Container, client: AsyncClient) -> None:
    """It says when to try again."""
    slots = container.bulk_slots()
    with slots.taken(), slots.taken():
        answer = await client.get("/items/export")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert (await client.get("/items/export")).status_code == 200


async def test_an_export_that_fails_before_its_first_line_is_a_problem(
    container: Container, client: AsyncClient
) -> None:
    """Its status is still to be had."""
    with container.bulk_slots.override(providers.Object(BulkSlots(BulkSettings(max_seconds=0.001), 1))):
        answer = await client.get("/items/export")
    assert (answer.status_code, answer.json()["detail"]) == (503, "Not done within 0.001 seconds")


async def test_an_export_whose_connection_breaks_is_broken_off(
    full: Container, caplog: pytest.LogCaptureFixture
) -> None:
    """The client sees an error and no end of the body, and the log one line without a traceback."""
    async with listening(full) as port, AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            async with client.stream("GET", "/items/export") as answer:
                assert answer.status_code == 200
                await _terminate_exports(full)
                async for _ in answer.aiter_bytes():
                    pass
        await until(lambda: whole(full.database()), PATIENCE)
        assert len((await client.get("/items/")).json()) == 100
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING and record.name == "service"]
    assert [record.getMessage().partition(":")[0] for record in logged] == ["GET /items/export was broken off"]


async def _terminate_exports(container: Container) -> None:
    """End the connections of transactions, which are idle or in the middle of a FETCH."""
    async with container.database().scope("terminate"):
        terminated = await container.connection().fetch("""
            SELECT pg_terminate_backend(pid)
            FROM pg_stat_activity
            WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
        """)
    assert terminated


async def test_a_reader_that_stalls_is_cut_off_at_the_limit(full: Container) -> None:
    """The connection and the slot are free again, though the client has not read on; when it does, it sees an error."""
    slots = BulkSlots(BulkSettings(max_seconds=1), 1)
    with full.bulk_slots.override(providers.Object(slots)):
        async with listening(full) as port, AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            async with client.stream("GET", "/items/export") as answer:
                assert (await client.get("/items/export")).status_code == 503
                await until(lambda: slots.free == 1, PATIENCE)
                assert whole(full.database())
                assert (await client.get("/items/")).status_code == 200
                with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                    async for _ in answer.aiter_bytes():
                        pass


async def test_a_client_that_hangs_up_midway_leaves_nothing_behind(full: Container) -> None:
    """The connection is back at once, and the rest of the table is not read for nobody."""
    exported = 0

    class Counting(ItemExports):
        async def run(self, owner_id: int | None, write: Callable[[bytes], Awaitable[None]]) -> None:
            async def counting(lines: bytes) -> None:
                nonlocal exported
                exported += len(lines)
                await write(lines)

            await super().run(owner_id, counting)

    counting = providers.Factory(Counting, full.bulk_item_repository, full.connection, full.bulk_slots)
    with full.item_exports.override(counting):
        async with listening(full) as port:
            async with sent(port, EXPORT) as (reader, _):
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
                assert full.bulk_slots().free == 1
            await until(lambda: whole(full.database()) and full.bulk_slots().free == 2, PATIENCE)
    assert 0 < exported < MANY * 1000


async def test_an_importer_that_hangs_up_midway_leaves_nothing_behind(cloned_container: Container) -> None:
    """Nothing of what was sent is stored."""
    await _fill(cloned_container, 1)
    user_id = int(str((await _lines(cloned_container, None))[0]["owner_id"]))
    async with listening(cloned_container) as port:
        async with sent(port, import_beginning(user_id, b"title,description\n" + b"a,b\n" * 10_000)):
            await until(lambda: cloned_container.database().stats().leased == 1, PATIENCE)
        await until(lambda: whole(cloned_container.database()) and cloned_container.bulk_slots().free == 2, PATIENCE)
    assert len(await _lines(cloned_container, None)) == 1


async def test_an_importer_that_stalls_is_told_so_and_cut_off(cloned_container: Container) -> None:
    """It gets its 408 though its body has not ended, and the connection is closed."""
    await _fill(cloned_container, 1)
    user_id = int(str((await _lines(cloned_container, None))[0]["owner_id"]))
    with cloned_container.bulk_slots.override(providers.Object(BulkSlots(BulkSettings(max_seconds=0.5), 1))):
        async with listening(cloned_container) as port:
            async with sent(port, import_beginning(user_id, b"title,description\na,b\n")) as (reader, _):
                async with asyncio.timeout(PATIENCE):
                    answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert b"Not done within 0.5 seconds" in answer
            await until(lambda: whole(cloned_container.database()), PATIENCE)
    assert len(await _lines(cloned_container, None)) == 1


async def test_slow_clients_hold_nobody_else_back(full: Container) -> None:
    """One that stalls in its import, one that stalls in its export: the next bulk request is refused, all else is quick."""
    user_id = int(str((await _lines(full, None))[0]["owner_id"]))
    half = import_beginning(user_id, b"title,description\na,b\n")
    async with listening(full) as port, AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        async with sent(port, half), sent(port, EXPORT) as (reader, _):
            await reader.readline()
            await until(lambda: full.database().stats().leased == 2, PATIENCE)
            refused = await client.get("/items/export")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            started = asyncio.get_running_loop().time()
            answers = await asyncio.gather(*(client.get("/items/?limit=10") for _ in range(50)))
            assert {answer.status_code for answer in answers} == {200}
            assert asyncio.get_running_loop().time() - started < 5
            assert full.database().stats().leased == 2


async def test_other_requests_are_quick_while_many_items_are_imported(cloned_container: Container) -> None:
    """An import that has all its bytes at once leaves the event loop to others, again and again."""
    await _fill(cloned_container, 1)
    user_id = int(str((await _lines(cloned_container, None))[0]["owner_id"]))
    done = asyncio.Event()
    waits: list[float] = []

    async def ask(client: AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        while not done.is_set():
            started = loop.time()
            assert (await client.get("/items/?limit=1")).status_code == 200
            waits.append(loop.time() - started)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b'{"title": "A pen", "description": "Blue"}\n' * 20_000

    async with (
        listening(cloned_container) as port,
        AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        asking = asyncio.create_task(ask(client))
        headers = {"content-type": "application/jsonl"}
        answer = await client.post(f"/users/{user_id}/items/import", content=body(), headers=headers, timeout=60)
        done.set()
        await asking
    assert answer.json() == {"imported": 80_000}
    assert len(waits) > 5
    assert sorted(waits)[len(waits) // 2] < 1


async def test_the_limits_for_short_statements_do_not_end_what_waits_for_its_client(
    clone_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import and an export outlast the timeouts of statements, commands and idle transactions."""
    monkeypatch.setenv("DATABASE_URL", clone_dsn)
    for limit in ("STATEMENT_TIMEOUT", "COMMAND_TIMEOUT", "IDLE_IN_TRANSACTION_TIMEOUT"):
        monkeypatch.setenv(f"POOLKEEPER_DATABASE__{limit}", "1")
    paused: list[bytes] = []

    async def pause(lines: bytes) -> None:
        await asyncio.sleep(1.5)
        paused.append(lines)

    async def body() -> AsyncIterator[bytes]:
        await pause(b"title,description\n")
        yield b"title,description\nA cup,\n"
        await pause(b"A cup,\n")

    async with opened(Container()) as container, container.database().scope("slow"):
        await container.connection().execute(INSERT_MANY, 150)
        owner_id = await container.connection().fetchval("SELECT id FROM users")
        assert await container.item_imports().run(owner_id, CsvLines, body()) == Imported(imported=1)
        await container.item_exports().run(None, pause)
    assert len(paused) == 4
    assert paused[-1].endswith(b'"title":"A cup","description":null,"owner_id":%d}\n' % owner_id)
