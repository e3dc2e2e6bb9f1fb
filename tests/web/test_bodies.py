"""What a body may be: how it is coded, and how much of it a route takes in how much time."""

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, File, Request, UploadFile
from pydantic import BaseModel
from starlette.types import Message

from containers import Container
from service import app as application
from service.app import create_app
from service.auth.access import PUBLIC
from service.web.middleware import body_seconds, raise_body_limits
from tests.support.asgi import HOST, Answer, call, parts

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
CSV = (b"content-type", b"text/csv")
CHUNKED = (b"transfer-encoding", b"chunked")
PARTS = (b"content-type", b"multipart/form-data; boundary=b")
GZIP = (b"content-encoding", b"gzip")

router = APIRouter(dependencies=[PUBLIC])
larger = APIRouter(prefix="/larger", dependencies=[PUBLIC, body_seconds(60)], max_body_size=3_000_000)


class Note(BaseModel):
    """What most of these routes take."""

    text: str


@router.post("/upload", max_body_size=3_000_000)
async def upload(file: UploadFile) -> int:
    return file.size or 0


@router.post("/uploads", max_body_size=3_000_000)
async def uploads(files: Annotated[list[UploadFile], File()]) -> int:
    return len(files)


@router.post("/small", max_body_size=100)
async def small(note: Note) -> int:
    return len(note.text)


@router.post("/note")
async def note(note: Note) -> int:
    return len(note.text)


@router.post("/slow", dependencies=[body_seconds(60)])
async def slow(note: Note) -> int:
    return len(note.text)


@router.post("/quick", dependencies=[body_seconds(0.05)])
async def quick(note: Note) -> int:
    return len(note.text)


@router.post("/stream", max_body_size=100)
async def stream(request: Request) -> int:
    raise_body_limits(request, max_bytes=3_000_000, seconds=60)
    return sum([len(part) async for part in request.stream()])


@router.post("/unread", max_body_size=100)
async def unread() -> str:
    return "unread"


@larger.post("/note")
async def larger_note(note: Note) -> int:
    return len(note.text)


@larger.post("/small", max_body_size=100)
async def larger_small(note: Note) -> int:
    return len(note.text)


AppOf = Callable[..., FastAPI]


@pytest.fixture(params=[True, False], ids=["prepared", "as FastAPI does"])
def app_of(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AppOf:
    """Makes the application with these routes and `http` settings."""
    monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, router, larger))
    monkeypatch.setenv("POOLKEEPER_PERFORMANCE__PREPARED_ROUTES", str(request.param))

    def make(**settings: str) -> FastAPI:
        for name, value in settings.items():
            monkeypatch.setenv(f"POOLKEEPER_HTTP__{name.upper()}", value)
        return create_app(Container())

    return make


async def post(app: FastAPI, path: str, body: bytes, *headers: tuple[bytes, bytes], chunked: bool = False) -> Answer:
    """A body in two parts."""
    length = CHUNKED if chunked else (b"content-length", b"%d" % len(body))
    last: Message = {"type": "http.request", "body": body[100:], "more_body": False}
    return await call(app, "POST", path, [HOST, length, *headers], receive=parts(body[:100], then=last))


def file_of(size: int, count: int = 1, name: str = "file") -> bytes:
    """A form with files."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a.bin"\r\n\r\n'.encode()
    return (head + b"x" * size + b"\r\n") * count + b"--b--\r\n"


def note_of(size: int) -> bytes:
    return json.dumps({"text": "x" * size}).encode()


@pytest.mark.parametrize(
    "coded",
    [
        [GZIP],
        [(b"content-encoding", b"identity, BR")],
        [GZIP, (b"content-encoding", b"identity")],
        [(b"content-encoding", b"\xff")],
    ],
    ids=range(4),
)
@pytest.mark.parametrize(("path", "kind"), [("/note", JSON), ("/token", FORM), ("/upload", PARTS), ("/stream", CSV)])
async def test_a_coded_body_is_a_415_that_says_what_is_read(
    app_of: AppOf, path: str, kind: tuple[bytes, bytes], coded: Headers
) -> None:
    """By whatever reads it."""
    answer = await post(app_of(), path, gzip.compress(b'{"text": "x"}'), kind, *coded)
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "identity")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("coding", [b"identity", b"", b"Identity, identity"])
async def test_a_body_that_is_not_coded_may_say_so(app_of: AppOf, coding: bytes) -> None:
    """RFC 9110 reserves the word for Accept-Encoding, and clients send it."""
    assert (await post(app_of(), "/note", note_of(3), JSON, (b"content-encoding", coding))).body == b"3"


async def test_an_import_that_is_coded_is_refused(cloned_client: Any) -> None:
    """As any other body, and nothing is imported."""
    created = await cloned_client.post("/users/", json={"email": "ada@example.com", "password": "correct horse"})
    user = created.json()["id"]
    body, headers = (
        gzip.compress(b"title,description\nA pen,\n"),
        {"Content-Type": "text/csv", "Content-Encoding": "gzip"},
    )
    answer = await cloned_client.post(f"/users/{user}/items/import", content=body, headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert (await cloned_client.get("/items/")).json() == []


@pytest.mark.parametrize("charset", [b"latin-1", b'"ISO-8859-1"', b"UTF-16", b"windows-1252; x=y", b"\xff"], ids=str)
@pytest.mark.parametrize(
    ("path", "kind"), [("/note", b"application/json"), ("/token", FORM[1]), ("/stream", b"text/csv")]
)
async def test_text_in_another_charset_is_a_415(app_of: AppOf, path: str, kind: bytes, charset: bytes) -> None:
    """It would be read as UTF-8, and wrongly."""
    answer = await post(app_of(), path, note_of(3), (b"content-type", kind + b"; charset=" + charset))
    assert (answer.status, json.loads(answer.body)["detail"]) == (415, "body: must be in UTF-8")


@pytest.mark.parametrize("charset", [b"utf-8", b"UTF-8", b'"utf-8"', b"utf8;x=y", b"us-ascii"])
async def test_text_may_say_that_it_is_in_utf_8(app_of: AppOf, charset: bytes) -> None:
    """Or in its subset."""
    headers = (b"content-type", b"application/json; charset=" + charset)
    assert (await post(app_of(), "/note", note_of(3), headers)).body == b"3"


@pytest.mark.parametrize(
    "codings", [[b"gzip, chunked"], [b"gzip", b"chunked"], [b"chunked", b"chunked"], [b"identity"]]
)
async def test_a_transfer_coding_that_is_not_read_is_a_501(app_of: AppOf, codings: list[bytes]) -> None:
    """And the end of its connection; whether the route reads a body or not."""
    headers = [(b"transfer-encoding", coding) for coding in codings]
    for path in ("/note", "/unread", "/nowhere"):
        answer = await call(app_of(), "POST", path, [HOST, JSON, *headers])
        assert (answer.status, answer.headers["connection"]) == (501, "close")


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/upload", 2_500_000, 200),
        ("/upload", 3_500_000, 413),
        ("/note", 900_000, 200),
        ("/note", 1_500_000, 413),
        ("/small", 50, 200),
        ("/small", 150, 413),
        ("/larger/note", 2_500_000, 200),
        ("/larger/note", 3_500_000, 413),
        ("/larger/small", 150, 413),
        ("/stream", 2_500_000, 200),
        ("/stream", 3_500_000, 413),
        ("/unread", 5_000_000, 200),
    ],
)
async def test_a_route_has_a_limit_of_its_own(app_of: AppOf, path: str, size: int, status: int, chunked: bool) -> None:
    """Higher or lower than that of others, from itself or its router, and whoever reads the body."""
    body, kind = (file_of(size), PARTS) if path == "/upload" else (note_of(size), JSON)
    answer = await post(app_of(), path, body, kind, chunked=chunked)
    assert answer.status == status
    if status == 413:
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.body)["detail"].startswith("body: larger than the ")


@pytest.mark.parametrize(("path", "status"), [("/slow", None), ("/larger/note", None), ("/note", 408), ("/quick", 408)])
async def test_a_route_has_a_time_of_its_own(app_of: AppOf, path: str, status: int | None) -> None:
    """Longer or shorter than that of others, from itself or its router."""
    seconds = "60" if path == "/quick" else "0.05"
    stalling = call(app_of(body_seconds=seconds), "POST", path, [HOST, JSON, CHUNKED], receive=parts(b"{"))
    try:
        async with asyncio.timeout(0.5 if status is None else 20):
            answer: int | None = (await stalling).status
    except TimeoutError:
        answer = None
    assert answer == status


async def test_a_form_has_so_many_parts_and_no_more(app_of: AppOf) -> None:
    """Starlette's limits, as a problem."""
    assert (await post(app_of(), "/uploads", file_of(1, 1000, "files"), PARTS)).body == b"1000"
    for body, kind in (
        (file_of(1, 1001, "files"), PARTS),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 1001 + b"--b--\r\n", PARTS),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 2_000_000 + b"\r\n--b--\r\n", PARTS),
        (b"--b\r\n" + b"A: b\r\n" * 10_000 + b"\r\nx\r\n--b--\r\n", PARTS),
        (b"--b\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n", PARTS),
        (b"no parts", PARTS),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", PARTS),
    ):
        answer = await post(app_of(), "/uploads", body, kind)
        assert answer.status in {400, 422}, body[:100]
        assert answer.headers["content-type"] == "application/problem+json"
    many = b"&".join(b"a%d=b" % number for number in range(50_000))
    assert (await post(app_of(), "/token", many, FORM)).status in {400, 422}
