"""Items imported as a stream: all or none, line by line."""

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest
from dependency_injector import providers
from httpx import AsyncClient, Response

from containers import Container
from service.items.bulk.errors import BadLines
from service.items.bulk.formats import CsvLines, JsonLines, Reader
from service.items.bulk.imports import ItemImports
from service.items.bulk.lines import LINE_BYTES, Mistakes, lines_of
from service.items.bulk.settings import BulkSettings
from service.items.bulk.slots import BulkSlots
from service.items.schemas import NewItem

JSON_LINES = "application/x-ndjson"
CSV = "text/csv"
GOOD = b'{"title": "A pen"}\n'


async def _import(
    client: AsyncClient, user_id: int, body: bytes | AsyncIterator[bytes], media_type: str = JSON_LINES
) -> Response:
    return await client.post(f"/users/{user_id}/items/import", content=body, headers={"content-type": media_type})


async def _items(client: AsyncClient) -> list[tuple[str, str | None]]:
    return [(item["title"], item["description"]) for item in (await client.get("/items/?limit=500")).json()]


async def _parts(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize(
    ("media_type", "body", "mistakes"),
    [
        (JSON_LINES, b"", {"body": "contains no item"}),
        (JSON_LINES, b"\n \r\n", {"body": "contains no item"}),
        (JSON_LINES, GOOD + b"{}", {"line 2.title": "Field required"}),
        (JSON_LINES, GOOD + b'\n{"title": 7}\n', {"line 3.title": "Input should be a valid string"}),
        (JSON_LINES, b'{"title": "a\\u0000"}', {"line 1.title": "a NUL character cannot be stored"}),
        (JSON_LINES, b'{"title": "\\ud800"}', {"line 1": "Invalid JSON: unexpected end of hex escape at column 18"}),
        (JSON_LINES, b'{"title": "\xff"}', {"line 1": "Invalid JSON: invalid unicode code point at column 12"}),
        (JSON_LINES, b'{"title": "\xed\xa0\x80"}', {"line 1": "Invalid JSON: invalid unicode code point at column 12"}),
        (JSON_LINES, b"\xff\xfe{\x00", {"line 1": "Invalid JSON: expected value at column 1"}),
        (JSON_LINES, b'[{"title": "a"}]', {"line 1": "Input should be an object"}),
        (JSON_LINES, b"[" * LINE_BYTES, {"line 1": "Invalid JSON: recursion limit exceeded at column 202"}),
        (JSON_LINES, GOOD * 2 + b" " * (3 * LINE_BYTES), {"line 3": f"longer than {LINE_BYTES} bytes"}),
        (JSON_LINES, b'{"title": "a", "price": 1}', {"line 1.price": "Extra inputs are not permitted"}),
        (JSON_LINES, b'{"title": "a"} {"title": "b"}', {"line 1": "Invalid JSON: trailing characters at column 16"}),
        (CSV, b"", {"body": "contains no item"}),
        (CSV, b"title,description\n", {"body": "contains no item"}),
        (CSV, b"A pen,Blue\n", {"line 1": "must be title,description"}),
        (CSV, b"\ndescription,title\nBlue,A pen\n", {"line 2": "must be title,description"}),
        (CSV, b"title,description\nA pen\n", {"line 2": "number of fields: 1 instead of 2"}),
        (CSV, b"title,description\nA pen,Blue,new\n", {"line 2": "number of fields: 3 instead of 2"}),
        (
            CSV,
            b"title,description\n,Blue\n",
            {"line 2.title": "Value should have at least 1 item after validation, not 0"},
        ),
        (CSV, b"title,description\n\x00,Blue\n", {"line 2.title": "a NUL character cannot be stored"}),
        (CSV, b"title,description\n\xff,Blue\n", {"line 2": "is not UTF-8"}),
        (CSV, b"\xff\xfet\x00i\x00", {"line 1": "is not UTF-8"}),
        (CSV, b'title,description\na,"x\ny"z\nb,c\n', {"line 2": "',' expected after '\"'"}),
        (CSV, b'title,description\na,"x\ny\n', {"line 2": "unexpected end of data"}),
        (CSV, b"title,description\ra,b\r", {"line 1": "new-line character seen in unquoted field"}),
        (
            CSV,
            b'title,description\na,"' + b"x" * LINE_BYTES + b"\nb,c\n",
            {"line 2": "too long for an item; is a quotation mark not closed?"},
        ),
        (
            CSV,
            b'title,description\na,"' + b"\n" * 11_000 + b"b,c\n",
            {"line 2": "too long for an item; is a quotation mark not closed?"},
        ),
    ],
)
async def test_a_bad_line_is_named_and_nothing_is_stored(
    client: AsyncClient, user_id: int, media_type: str, body: bytes, mistakes: dict[str, str]
) -> None:
    """A 422 says which line is bad, where in it, and why, whatever else the body has."""
    answer = await _import(client, user_id, body, media_type)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {error["field"]: error["message"] for error in answer.json()["errors"]} == mistakes
    assert await _items(client) == []


async def test_all_bad_lines_are_named(client: AsyncClient, user_id: int) -> None:
    """Reading goes on after the first; good lines between them are not stored."""
    body = b"".join(b"{}\n" if number % 3 == 0 else GOOD for number in range(1, 31))
    answer = await _import(client, user_id, _parts(body, 7))
    assert [error["field"] for error in answer.json()["errors"]] == [f"line {n}.title" for n in range(3, 31, 3)]
    assert await _items(client) == []


async def test_after_a_hundred_bad_lines_it_stops_and_says_so(client: AsyncClient, user_id: int) -> None:
    """Of an endless body of bad lines, no more is read than the first hundred."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield GOOD + b"{}\n"

    answer = await _import(client, user_id, endless())
    errors = answer.json()["errors"]
    assert (answer.status_code, len(errors), sent) == (422, 101, 100)
    assert errors[99]["field"] == "line 200.title"
    assert errors[100] == {
        "field": "body",
        "message": "100 lines are wrong up to line 200, where reading ended; there may be more",
    }
    assert await _items(client) == []


async def test_a_line_of_many_mistakes_makes_no_large_answer(client: AsyncClient, user_id: int) -> None:
    """The first few of a line are named, and cut where they are long."""
    line = json.dumps({f"{number}{'x' * 300}": 1 for number in range(90)}).encode()
    answer = await _import(client, user_id, line)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 5
    assert len(answer.content) < 5000


async def test_an_import_for_nobody_is_a_404(client: AsyncClient) -> None:
    """It is said before any of the body is read."""
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append("in vain")
        yield b""

    answer = await _import(client, 1_000_000, body())
    assert read == []
    assert (answer.status_code, answer.json()["detail"]) == (404, "User not found")


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "", "multipart/form-data; boundary=x"])
async def test_another_media_type_is_a_415_that_names_the_right_ones(
    client: AsyncClient, user_id: int, media_type: str
) -> None:
    """Nothing is guessed from the body."""
    answer = await _import(client, user_id, GOOD, media_type)
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["detail"]


async def test_a_body_larger_than_its_own_limit_is_a_413(
    container: Container, client: AsyncClient, user_id: int
) -> None:
    """The limit of other bodies does not hold for it; its own does, whether the length is announced or not."""
    body = GOOD * 60_000  # more than http.max_body_bytes
    assert (await _import(client, user_id, body)).json() == {"imported": 60_000}
    small = providers.Factory(
        ItemImports,
        container.bulk_item_repository,
        container.connection,
        container.bulk_slots,
        container.idempotency,
        BulkSettings(max_bytes=2000),
    )
    with container.item_imports.override(small):
        for sent in (GOOD * 200, _parts(GOOD * 200, 100)):
            answer = await _import(client, user_id, sent)
            assert (answer.status_code, answer.json()["detail"]) == (413, "body: larger than the 2000 bytes allowed")
    owned = await client.get("/items/?skip=59999")
    assert len(owned.json()) == 1


async def test_an_import_that_finds_no_slot_is_a_503_at_once(
    container: Container, client: AsyncClient, user_id: int
) -> None:
    """It does not wait: it says when to try again. When the other has ended, it is taken."""
    slots = container.bulk_slots()
    with slots.taken(), slots.taken():
        answer = await _import(client, user_id, GOOD)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["detail"] == "Too many imports and exports in progress; try again shortly"
    assert (await _import(client, user_id, GOOD)).status_code == 201


async def test_an_import_that_takes_too_long_is_a_408_and_rolled_back(
    container: Container, client: AsyncClient, user_id: int
) -> None:
    """A client that sends half and then nothing is told; its connection and its slot are free again."""

    async def half() -> AsyncIterator[bytes]:
        yield GOOD * 1000
        await asyncio.Event().wait()

    slots = BulkSlots(BulkSettings(max_seconds=0.3), 1)
    with container.bulk_slots.override(providers.Object(slots)):
        answer = await _import(client, user_id, half())
        assert (answer.status_code, answer.headers["connection"]) == (408, "close")
        assert answer.json()["detail"] == "body: Not done within 0.3 seconds"
        assert await _items(client) == []
        assert slots.free == 1
        assert (await _import(client, user_id, GOOD)).status_code == 201


async def test_a_user_who_is_deleted_meanwhile_is_a_404(
    cloned_container: Container, cloned_client: AsyncClient
) -> None:
    """A slow import does not keep its user from being deleted: it fails at its end."""
    created = await cloned_client.post("/users/", json={"email": "ada@example.com", "password": "correct horse"})
    connection = cloned_container.connection()

    async def deletes() -> AsyncIterator[bytes]:
        yield GOOD
        async with cloned_container.database().scope("other"):
            await connection.execute("DELETE FROM users")
        yield GOOD

    answer = await _import(cloned_client, created.json()["id"], deletes())
    assert (answer.status_code, answer.json()["detail"]) == (404, "User not found")


@pytest.mark.parametrize("media_type", ["application/x-ndjson", "application/jsonl", "Application/JSON-Lines; a=b"])
async def test_json_lines_are_stored_in_their_order(client: AsyncClient, user_id: int, media_type: str) -> None:
    """Blank lines, a byte order mark, CR LF and a last line without its end are no mistakes."""
    body = '\ufeff{"title": "A pen", "description": "Blue\u2028"}\r\n\n{"title": "\\ud83d\\ude00"}\n{"title": "Ä"}'
    answer = await _import(client, user_id, body.encode(), media_type)
    assert (answer.status_code, answer.json()) == (201, {"imported": 3})
    assert await _items(client) == [("A pen", "Blue\u2028"), ("😀", None), ("Ä", None)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_csv_is_read_as_it_is_written_wherever_it_is_cut(
    client: AsyncClient, user_id: int, size: int, end: str
) -> None:
    """A byte order mark, quotation marks, line feeds inside them, and characters of several bytes."""
    records = ["title,description", "A pen,Blue", '"A ""big"" cup, new","two', "", 'lines"', 'Ä 5" pen,', "", '"x",""']
    body = "\ufeff" + end.join(records)
    answer = await _import(client, user_id, _parts(body.encode(), size), "text/csv; charset=utf-8; header=present")
    assert (answer.status_code, answer.json()) == (201, {"imported": 4}), answer.text
    stored = [("A pen", "Blue"), ('A "big" cup, new', f"two{end}{end}lines"), ('Ä 5" pen', None), ("x", None)]
    assert await _items(client) == stored


async def test_a_line_number_counts_the_lines_inside_quotation_marks(client: AsyncClient, user_id: int) -> None:
    """It is the number that an editor shows for the first line of the record."""
    body = b'title,description\na,"1\n2\n3"\n\n,b\n'
    answer = await _import(client, user_id, _parts(body, 4), CSV)
    assert [error["field"] for error in answer.json()["errors"]] == ["line 6.title"]


async def test_the_largest_item_fits_with_all_its_characters_escaped(client: AsyncClient, user_id: int) -> None:
    """No item that may be created alone is refused for the length of its line."""
    item = {"title": "😀" * 200, "description": "😀" * 10_000}
    assert (await _import(client, user_id, json.dumps(item).encode())).json() == {"imported": 1}
    csv = f'title,description\n{"😀" * 200},"{chr(10) * 10_000}"\n'
    assert (await _import(client, user_id, csv.encode(), CSV)).json() == {"imported": 1}


@pytest.mark.parametrize("reader", [JsonLines, CsvLines])
async def test_random_bytes_are_items_or_bad_lines_and_nothing_else(reader: type[Reader]) -> None:
    """Whatever is sent, in whatever parts, no other error comes out of it."""
    random.seed(7)
    alphabet = [
        b'"',
        b"\n",
        b",",
        b"\r",
        b"a",
        b"\xff",
        b"\x00",
        b"title,description\n",
        b'{"title":"a"}\n',
        b"\xef\xbb\xbf",
    ]
    for _ in range(500):
        body = b"".join(random.choices(alphabet, k=random.randrange(60)))
        if reader is CsvLines and random.random() < 0.9:
            body = b"title,description\n" + body
        whole, cut = [await _outcome(reader, body, size) for size in (1000, random.randrange(1, 9))]
        assert whole == cut


async def _outcome(reader: type[Reader], body: bytes, size: int) -> list[NewItem] | list[tuple[str, str]]:
    mistakes = Mistakes()
    lines = reader(mistakes)
    try:
        items = [item async for some in lines_of(_parts(body, size)) for item in lines.items(some)]
        items += lines.items((), last=True)
        mistakes.check()
    except BadLines as error:
        return list(error.mistakes)
    return items


async def test_an_import_with_a_key_is_carried_out_once(cloned_client: AsyncClient) -> None:
    """Sent again, or twice at once, the same body gives the first answer; another body is a 422, and changes nothing."""
    user = (await cloned_client.post("/users/", json={"email": "ada@example.com", "password": "correct horse"})).json()

    async def send(body: bytes | AsyncIterator[bytes]) -> Response:
        headers = {"Content-Type": "application/jsonl", "Idempotency-Key": "one"}
        return await cloned_client.post(f"/users/{user['id']}/items/import", content=body, headers=headers)

    assert (await send(b'{"title": ""}\n')).status_code == 422
    first, second = await asyncio.gather(send(GOOD * 50), send(_parts(GOOD * 50, 100)))
    again = await send(_parts(GOOD * 50, 7))
    assert [answer.status_code for answer in (first, second, again)] == [201] * 3
    assert first.content == second.content == again.content == b'{"imported":50}'
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await send(GOOD * 51)).status_code == 422
    assert len((await cloned_client.get("/items/?limit=500")).json()) == 50
