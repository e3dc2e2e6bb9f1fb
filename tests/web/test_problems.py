"""Errors as problem details: each kind of error, what it says in headers, and what it never says."""

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from containers import Container
from service.app import create_app
from service.database import Database, DatabaseOptions
from service.errors import Forbidden, ServiceError, TooManyRequests, Unauthorized, Unprocessable
from service.web.drain import Drain
from service.web.middleware import BodyLimits, Edge, RequestScope
from service.web.problems import DETAIL_OF, STATUS_OF
from service.web.settings import HttpSettings
from tests.support.asgi import END, HOST, call, parts

RAISED: dict[str, Exception] = {
    "unauthorized": Unauthorized(),
    "forbidden": Forbidden("Only an administrator may do that"),
    "unprocessable": Unprocessable("The key was used with another body"),
    "echo": Unprocessable("No such title: \ud800"),
    "too-many": TooManyRequests(7),
    "bug": ZeroDivisionError("secret detail"),
    "group": ExceptionGroup("several", [ValueError("secret detail")]),
}


async def raises(name: str) -> None:
    raise RAISED[name]


async def half_an_answer() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "one\n"
        raise ZeroDivisionError("secret detail")

    return StreamingResponse(lines())


@pytest.fixture
def app() -> FastAPI:
    """The application, with routes that fail."""
    app = create_app(Container())
    app.add_api_route("/raise/{name}", raises)
    app.add_api_route("/half", half_an_answer)
    return app


@pytest.mark.parametrize(
    ("name", "status", "title", "detail", "headers"),
    [
        ("unauthorized", 401, "Unauthorized", Unauthorized.message, {"www-authenticate": "Bearer"}),
        ("forbidden", 403, "Forbidden", "Only an administrator may do that", {}),
        ("unprocessable", 422, "Unprocessable Content", "The key was used with another body", {}),
        ("echo", 422, "Unprocessable Content", "No such title: ?", {}),
        ("too-many", 429, "Too Many Requests", TooManyRequests.message, {"retry-after": "7"}),
        ("bug", 500, "Internal Server Error", "The service failed, and the failure is in its log", {}),
        ("group", 500, "Internal Server Error", "The service failed, and the failure is in its log", {}),
    ],
)
async def test_each_kind_of_error_is_a_problem_with_its_headers(
    app: FastAPI, name: str, status: int, title: str, detail: str, headers: dict[str, str]
) -> None:
    """All members of RFC 9457, and the request's id, which is the one of the header."""
    answer = await call(app, "GET", f"/raise/{name}", [HOST, (b"x-request-id", b"order-7")])
    assert answer.status == status
    assert answer.headers.items() >= {**headers, "content-type": "application/problem+json"}.items()
    assert answer.headers["x-request-id"] == "order-7"
    assert json.loads(answer.body) == {
        "type": "about:blank", "title": title, "status": status, "detail": detail, "instance": f"/raise/{name}",
        "request_id": "order-7",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (422, "Unprocessable Content"),
        (499, "Bad Request"),
        (599, "Internal Server Error"),
    ],
)
async def test_a_title_is_the_same_on_every_python(app: FastAPI, status: int, title: str) -> None:
    """RFC 9110's phrase, which Python has from 3.13 on; a status without a phrase gets the one of its class."""

    async def refuse() -> None:
        raise HTTPException(status, None if status < 499 else "No")

    app.add_api_route("/refuse", refuse)
    problem = json.loads((await call(app, "GET", "/refuse")).body)
    assert (problem["status"], problem["title"]) == (status, title)
    assert problem["detail"] == (title if status < 499 else "No")


def test_openapi_has_the_same_phrases_on_every_python() -> None:
    """In the descriptions of the problem_responses."""
    paths = create_app(Container()).openapi()["paths"]
    described = {
        (status, answer["description"])
        for path in paths.values()
        for operation in path.values()
        for status, answer in operation["responses"].items()
        if status in {"413", "422"}
    }
    assert described == {("413", "Content Too Large"), ("422", "Unprocessable Content")}


async def test_an_unexpected_error_is_in_the_log_once_with_the_id(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    """With its traceback; and the caller finds the same id in the answer."""
    answer = await call(app, "GET", "/raise/bug")
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in records] == [f"GET /raise/bug [{answer.headers['x-request-id']}] failed"]
    assert caplog.text.count("Traceback") == caplog.text.count("ZeroDivisionError: secret detail") == 1
    assert b"secret" not in answer.body


async def test_what_the_caller_did_wrong_is_no_error_in_the_log(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    """A client cannot fill the log with tracebacks; also when it leaves in the middle of its body."""
    for path in ("/raise/unauthorized", "/nowhere", "/raise/too-many"):
        assert (await call(app, "GET", path)).status < 500
    gone = parts(b"{", then={"type": "http.disconnect"})
    json_body = [HOST, (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    assert (await call(app, "POST", "/users/", json_body, receive=gone)).status == 400
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("sent", "then", "status"),
    [(b"{", {"type": "http.disconnect"}, 400), (b'{"email": ', END, 422), (b'{"email": 5}', END, 422)],
    ids=["hung up", "no JSON", "wrong"],
)
async def test_a_request_that_failed_is_gone_once_it_is_answered(
    app: FastAPI, sent: bytes, then: Message, status: int
) -> None:
    """Nothing of it waits for the garbage collector, which comes late: that was 19 KB for each client that hung up."""
    headers = [HOST, (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    for looking in (False, True):  # what the first request of all leaves is no matter
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL if looking else 0)
        assert (await call(app, "POST", "/users/", headers, receive=parts(sent, then=then))).status == status
        gc.collect()
    left = [found for found in gc.garbage if isinstance(found, BaseException | FrameType)]
    gc.set_debug(0)
    gc.garbage.clear()
    assert left == []


async def test_an_answer_that_has_begun_is_cut_off(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    """The error goes on to the server, which logs it and closes the connection; the request's id is in the log."""
    with pytest.raises(ZeroDivisionError):
        await call(app, "GET", "/half", [HOST, (b"x-request-id", b"order-7")])
    assert "GET /half [order-7] failed after its answer had begun" in caplog.text


async def test_middleware_raises_errors_as_anything_else_does() -> None:
    """A kind of error has its answer wherever it is raised."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        raise TooManyRequests(3)

    scope = RequestScope(refusing, Database(DatabaseOptions()), BodyLimits(1, 1))
    answer = await call(Edge(scope, Drain(HttpSettings(drain_seconds=0)), (), 0), "GET", "/")
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")


async def test_cancelling_a_request_is_not_answered(app: FastAPI) -> None:
    """The server ends: there is nobody to say a 500 to."""

    @app.get("/long")
    async def long() -> None:
        reached.set()
        await asyncio.Event().wait()

    reached = asyncio.Event()
    task = asyncio.create_task(call(app, "GET", "/long"))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/users/", "GET, POST"), ("POST", "/health/live", "GET"), ("PUT", "/users/1", "GET")],
)
async def test_a_405_names_all_methods_of_the_path(app: FastAPI, method: str, path: str, allowed: str) -> None:
    """Not only those of the first route, as the router would."""
    answer = await call(app, method, path)
    assert answer.status == 405
    named = set(answer.headers["allow"].split(", "))
    assert named >= set(allowed.split(", "))
    assert method not in named


@pytest.mark.parametrize(
    "sent", [b"text/plain", b"application/x-www-form-urlencoded", b"", b"\xff", b"json", b"a/b/c;;"]
)
async def test_a_body_that_is_not_said_to_be_json_is_a_415(app: FastAPI, sent: bytes) -> None:
    """With what would be accepted: a page of another origin can send such a body without asking."""
    body = b'{"email": "ada@example.com", "password": "correct horse"}'
    headers = [HOST, (b"content-type", sent), (b"content-length", str(len(body)).encode())]
    answer = await call(
        app, "POST", "/users/", headers, receive=parts(then={"type": "http.request", "body": body, "more_body": False})
    )
    assert (answer.status, answer.headers["accept"]) == (415, "application/json")
    assert json.loads(answer.body)["detail"] == "body: must be JSON, sent as application/json"


async def test_a_422_is_no_longer_than_it_helps(app: FastAPI) -> None:
    """However many members a body has that do not belong, and however long their names are."""
    body = json.dumps({f"{number}{'x' * 1000}": 0 for number in range(90)}).encode()
    headers = [HOST, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    answer = await call(
        app, "POST", "/users/", headers, receive=parts(then={"type": "http.request", "body": body, "more_body": False})
    )
    problem = json.loads(answer.body)
    assert (answer.status, len(problem["errors"])) == (422, 50)
    assert problem["detail"].endswith("; and 42 more")
    assert len(answer.body) < 50_000


async def test_a_pathname_is_written_as_a_uri(app: FastAPI) -> None:
    """`instance` is a URI reference, also for a path that is none."""
    answer = await call(app, "GET", "/no where\udcff\u00e9?#\n")
    assert json.loads(answer.body)["instance"] == "/no%20where%3F%C3%A9%3F%23%0A"


def test_every_kind_of_error_that_is_not_the_services_own_has_a_text() -> None:
    """The texts of drivers are for the log."""
    foreign = {kind for kind in STATUS_OF if not issubclass(kind, ServiceError)}
    assert foreign == DETAIL_OF.keys()


def _responses(app: FastAPI, operation: str) -> dict[str, Any]:
    path, method = operation.split()
    responses: dict[str, Any] = app.openapi()["paths"][path][method]["responses"]
    return responses


def test_openapi_says_what_can_be_wrong_with_a_body(app: FastAPI) -> None:
    """Not UTF-8, too slow, too large, not JSON: where there is one."""
    assert {"400", "408", "413", "415"} <= _responses(app, "/users/{user_id}/items/ post").keys()
    assert not {"400", "408", "413", "415"} & _responses(app, "/users/ get").keys()


def test_openapi_documents_the_headers_of_errors() -> None:
    """How to sign in, and when to come back."""
    from service.web.openapi import problem_responses

    documented = problem_responses(401, 403, 429)
    assert documented[401]["headers"]["WWW-Authenticate"]["example"] == "Bearer"
    assert documented[429]["headers"].keys() == documented[503]["headers"].keys() == {"Retry-After"}
    for status, answer in documented.items():
        example = answer["content"]["application/problem+json"]["example"]
        assert example["status"] == status
        assert example.keys() >= {"type", "title", "status", "detail", "instance", "request_id"}
