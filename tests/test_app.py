"""The application around the scopes: requests, errors, and what OpenAPI says of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio.from_thread
import asyncpg
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from httpx import AsyncClient

from containers import Container
from service.app import create_app
from service.database import (
    CommitOutcomeUnknown,
    Database,
    DatabaseUnavailable,
    PoolTimeout,
    SchemaChanged,
    ScopedConnection,
)
from service.errors import ServiceError
from service.injection import Provide, inject
from tests.database.helpers import until, whole
from tests.support.clients import client_of

router = APIRouter()

BACKEND = "SELECT pg_backend_pid()"


@router.get("/deferred")
@inject
async def commit_fails(connection: ScopedConnection = Provide["connection"]) -> str:
    async with connection.transaction():
        await connection.execute("CREATE TABLE d (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        await connection.execute("INSERT INTO d VALUES (1), (1)")
    return "saved"


@router.get("/conflict")
@inject
async def conflict(connection: ScopedConnection = Provide["connection"]) -> None:
    async with connection.transaction():
        await connection.execute("CREATE TABLE conflict ()")
        raise HTTPException(409, "taken")


@inject
async def remember(name: str, connection: ScopedConnection = Provide["connection"]) -> None:
    await connection.execute("INSERT INTO items (title, owner_id) VALUES ($1, 1)", name)


@router.get("/background")
async def background(tasks: BackgroundTasks) -> str:
    tasks.add_task(remember, "from the background")
    return "answered"


@router.get("/stream")
@inject
async def stream(
    connection: ScopedConnection = Provide["connection"], database: Database = Provide["database"]
) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(3):
            assert database.stats().leased == 0
            yield f"{await connection.fetchval('SELECT $1::int', number)}\n"

    return StreamingResponse(lines())


@router.get("/gather")
@inject
async def gather(connection: ScopedConnection = Provide["connection"]) -> list[Any]:
    return await asyncio.gather(*(connection.fetchval("SELECT $1::int", n) for n in range(5)))


@router.get("/def")
@inject
def in_a_thread(connection: ScopedConnection = Provide["connection"]) -> int:
    number: int = anyio.from_thread.run(connection.fetchval, "SELECT 5")
    return number


@router.websocket("/ws")
@inject
async def echo(websocket: WebSocket, connection: ScopedConnection = Provide["connection"]) -> None:
    await websocket.accept()
    while True:
        await websocket.send_json(await connection.fetchval("SELECT $1::int", int(await websocket.receive_text())))


@router.get("/raise/{name}")
async def raises(name: str) -> None:
    raise ERRORS[name]


ERRORS: dict[str, Exception] = {
    "unavailable": DatabaseUnavailable("host db.internal refused"),
    "timeout": PoolTimeout("Stats(...)"),
    "unknown outcome": CommitOutcomeUnknown("lost"),
    "new schema": SchemaChanged("cached statement plan is invalid"),
    "serialization": asyncpg.SerializationError("could not serialize"),
    "bug": ZeroDivisionError("secret detail"),
}


@pytest.fixture
async def app(cloned_container: Container) -> FastAPI:
    """The application with the routes above, and a user with id 1."""
    app = create_app(cloned_container)
    cloned_container.wire(modules=[__name__])
    app.include_router(router)
    async with cloned_container.database().scope("user"):
        await cloned_container.user_repository().add("ada@example.com", "hash")
    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Calls the application, and gets a 500 as an answer, as over the network."""
    async with client_of(app, raise_app_exceptions=False) as client:
        yield client


async def test_the_commit_is_over_before_the_response(http: AsyncClient) -> None:
    """A commit that fails is not a 200."""
    assert (await http.get("/deferred")).status_code == 500


async def test_an_error_that_becomes_a_409_rolls_back(http: AsyncClient, cloned_container: Container) -> None:
    """The transaction is undone although the exception is an answer and not a failure."""
    assert (await http.get("/conflict")).status_code == 409
    async with cloned_container.database().scope("look"):
        assert await cloned_container.connection().fetchval("SELECT to_regclass('conflict') IS NULL")


async def test_a_background_task_can_use_the_database(http: AsyncClient) -> None:
    """The request's scope lasts until its background tasks have ended."""
    assert (await http.get("/background")).json() == "answered"
    assert [item["title"] for item in (await http.get("/items/")).json()] == ["from the background"]


async def test_a_stream_holds_no_connection_between_its_parts(http: AsyncClient) -> None:
    """Each statement of a streaming body leases for itself."""
    assert (await http.get("/stream")).text == "0\n1\n2\n"


async def test_gather_inside_a_request_works(http: AsyncClient) -> None:
    """Statements of one request at once."""
    assert (await http.get("/gather")).json() == [0, 1, 2, 3, 4]


async def test_a_def_endpoint_reaches_the_database_from_its_thread(http: AsyncClient) -> None:
    """`anyio.from_thread.run` leads back to the pool's loop, in the request's scope."""
    assert (await http.get("/def")).json() == 5


async def test_a_websocket_has_a_scope(app: FastAPI, cloned_container: Container) -> None:
    """Each message may use the database; the connection between messages is free."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    scope = {
        "type": "websocket",
        "path": "/ws",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "query_string": b"",
        "subprotocols": [],
    }
    session = asyncio.create_task(app(scope, to_app.get, from_app.put))
    to_app.put_nowait({"type": "websocket.connect"})
    assert (await from_app.get())["type"] == "websocket.accept"
    for number in (3, 4):
        to_app.put_nowait({"type": "websocket.receive", "text": str(number)})
        assert (await from_app.get())["text"] == str(number)
        assert cloned_container.database().stats().leased == 0
    to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
    with pytest.raises(WebSocketDisconnect):
        await session


async def test_concurrent_requests_have_connections_of_their_own(
    http: AsyncClient, cloned_container: Container
) -> None:
    """A hundred at once, and the pool is whole after."""
    answers = await asyncio.gather(*(http.get("/gather") for _ in range(100)))
    assert all(answer.json() == [0, 1, 2, 3, 4] for answer in answers)
    await until(lambda: whole(cloned_container.database()))


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("unavailable", "The database cannot be reached at the moment"),
        ("timeout", "The service is busy: no database connection became free in time"),
        ("new schema", "The database was changed in the meantime"),
        ("unknown outcome", "The database was lost while it saved: the change may have been made or not"),
        ("serialization", "The change collided with another one"),
    ],
)
async def test_a_failure_of_the_database_is_a_503_that_says_when_to_come_back(
    http: AsyncClient, name: str, detail: str
) -> None:
    """Not a 500; and nothing of the inside shows."""
    answer = await http.get(f"/raise/{name}")
    assert (answer.status_code, answer.json()["detail"]) == (503, detail)
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_bug_is_a_500_that_tells_nothing(http: AsyncClient) -> None:
    """The detail is in the log, not in the answer."""
    answer = await http.get("/raise/bug")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/users/", 405), ("POST", "/users/", 422)]
)
async def test_the_routers_own_errors_are_problems(http: AsyncClient, method: str, path: str, status: int) -> None:
    """RFC 9457, with the same five members everywhere."""
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= problem.keys()
    assert (problem["status"], problem["instance"]) == (status, path)


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_a_body_that_is_too_large_is_a_413(http: AsyncClient, chunked: bool) -> None:
    """Whether its length is announced or not."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    content: Any = parts() if chunked else b" " * 2_000_000
    answer = await http.post("/users/", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (413, "body: larger than the 1048576 bytes allowed")


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[]", b"null", b'"text"', b"[" * 100_000, b'{"email": NaN}'])
async def test_a_body_that_is_not_what_it_should_be_is_a_4xx(http: AsyncClient, body: bytes) -> None:
    """Broken JSON, other JSON, no UTF-8, absurd depth: never a 500."""
    answer = await http.post("/users/", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_openapi_documents_every_operation_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A summary, a description, a tag, and for every error its media type, schema and an example."""
    monkeypatch.setenv("POOLKEEPER_DIAGNOSTICS__ENABLED", "true")
    document = create_app(Container()).openapi()
    for name, operation in _operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        if not name.endswith(" /health/live"):
            assert {"500", "503"} <= operation["responses"].keys(), name
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                content = answer["content"]["application/problem+json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, name
                assert content["example"]["status"] == int(status), name
                assert list(answer["content"]) == ["application/problem+json"], name
    assert document["components"]["schemas"]["NewUser"]["properties"]["email"]["examples"] == ["ada@example.com"]
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()
    assert "user_service" not in str(document)


def test_every_kind_of_service_error_has_a_status() -> None:
    """A new kind without one would be a 500."""
    from service.web.problems import STATUS_OF

    for kind in ServiceError.__subclasses__():
        assert kind in STATUS_OF


async def test_the_root_leads_to_the_documentation(http: AsyncClient) -> None:
    """Whoever opens the service in a browser lands on a page."""
    answer = await http.get("/", follow_redirects=True)
    assert answer.url.path == "/docs"
    assert answer.status_code == 200
