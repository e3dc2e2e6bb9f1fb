"""What the application does not have, others may: each kind of route is as FastAPI has it, prepared or not."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    Security,
    WebSocket,
)  # fmt: skip
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from pydantic import AfterValidator, BaseModel, Field
from starlette.requests import HTTPConnection

from service.web.prepared import PreparedRoutes
from service.web.prepared.route import Prepared
from tests.web.prepared.conftest import client_of


class Thing(BaseModel):
    """A body, and an answer."""

    name: str
    size: Annotated[int, Field(ge=0, alias="Size")] = 1


class Colour(StrEnum):
    """Of a path."""

    RED = "red"


@dataclass
class Row:
    """What is no model."""

    name: str
    size: int


class Teapot(Exception):
    """An error with a handler of its own."""


class OwnRoute(APIRoute):
    """A route that does something else."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        async def handler(request: Request) -> Response:
            return PlainTextResponse("a route of my own")

        return handler


calls: list[str] = []


async def shared(request: Request) -> str:
    calls.append("shared")
    return request.headers.get("x-name", "nobody")


async def first(name: Annotated[str, Depends(shared)]) -> str:
    calls.append("first")
    return f"first {name}"


async def second(
    name: Annotated[str, Depends(shared)], response: Response, x_count: Annotated[int | None, Header()] = None
) -> str:
    calls.append("second")
    response.headers["X-Second"] = "yes"
    return f"second {name} {x_count}"


async def fresh() -> int:
    calls.append("fresh")
    return len(calls)


async def opened() -> AsyncIterator[str]:
    calls.append("opened")
    yield "open"
    calls.append("closed")


async def scoped(scopes: SecurityScopes) -> list[str]:
    return scopes.scopes


async def refused() -> None:
    raise HTTPException(401, "who?", {"WWW-Authenticate": "Nothing"})


def picky(value: int) -> int:
    if value == 3:
        raise HTTPException(418, "three")
    return value


router = APIRouter(prefix="/r")
bearer = OAuth2PasswordBearer("token")


@router.get("/shadow/{anything}")
async def shadow(anything: str) -> str:
    return f"shadow {anything}"


@router.get("/shadow/never")
async def never() -> str:
    return "never reached"


@router.get("/plain/{key}", responses={404: {"model": Thing}})
async def plain(
    key: Annotated[int, Path(ge=1)], q: float = 1.5, flag: bool = False, note: str | None = None
) -> dict[str, Any]:
    return {"key": key, "q": q, "flag": flag, "note": note}


@router.get("/tree")
async def tree(one: Annotated[str, Depends(first)], two: Annotated[str, Depends(second)]) -> list[str]:
    return [one, two, *calls]


@router.get("/fresh")
async def not_cached(
    a: Annotated[int, Depends(fresh, use_cache=False)], b: Annotated[int, Depends(fresh, use_cache=False)]
) -> list[int]:
    return [a, b]


@router.get("/yield")
async def yielding(value: Annotated[str, Depends(opened)]) -> str:
    return value


@router.get("/scopes")
async def scopes(value: Annotated[list[str], Security(scoped, scopes=["a", "b"])]) -> list[str]:
    return value


@router.get("/bearer")
async def bears(token: Annotated[str, Depends(bearer)], connection: HTTPConnection) -> list[str]:
    return [token, connection.url.path]


@router.get("/refused", dependencies=[Depends(refused)])
async def refuses() -> str:
    return "not reached"


@router.get("/sync")
def synchronous(key: int = 1) -> int:
    return key


@router.get("/status/{code}")
async def status(code: int, response: Response) -> Thing:
    response.status_code = code
    response.headers["X-Own"] = "1"
    response.set_cookie("a", "b")
    return Thing(name="x")


@router.get("/response", response_model=Thing)
async def own_response() -> Any:
    return PlainTextResponse("as it is", 203, {"X-Own": "1"})


@router.get("/teapot/{kind}")
async def teapot(kind: str) -> str:
    raise {"own": Teapot(), "http": HTTPException(409, "no", {"X-Own": "1"}), "any": RuntimeError("secret")}[kind]


@router.get("/background")
async def background(tasks: BackgroundTasks) -> str:
    tasks.add_task(calls.append, "later")
    return "now"


@router.get("/row")
async def row() -> Row:
    return Row(name="x", size=1)


@router.get("/rows", response_model=list[Thing], response_model_by_alias=False, response_model_exclude_defaults=True)
async def rows() -> list[dict[str, Any]]:
    return [{"name": "x"}, {"name": "y", "Size": "7"}]


@router.get("/wrong", response_model=Thing)
async def wrong() -> Any:
    return {"name": 1}


@router.get("/untyped")
async def untyped():  # type: ignore[no-untyped-def]
    return {"a": 1}


@router.get("/none", status_code=204)
async def none() -> None:
    return None


@router.get("/class", response_class=JSONResponse)
async def other_class() -> Thing:
    return Thing(name="x")


@router.get("/lists")
async def lists(number: Annotated[list[int], Query()], x: Annotated[list[str] | None, Header()] = None) -> list[Any]:
    return [number, x]


@router.get("/query-model")
async def query_model(thing: Annotated[Thing, Query()]) -> Thing:
    return thing


@router.get("/names")
async def names(
    a: Annotated[int, Query(alias="a-b")] = 0,
    c: Annotated[int, Query(validation_alias="C")] = 0,
    under_score: Annotated[str, Header()] = "-",
    raw_name: Annotated[str, Header(convert_underscores=False)] = "-",
) -> list[Any]:
    return [a, c, under_score, raw_name]


@router.get("/cookie")
async def cookie(a: Annotated[str | None, Cookie()] = None) -> str | None:
    return a


@router.get("/colour/{colour}")
async def colour(colour: Colour) -> Colour:
    return colour


@router.get("/picky/{number}")
async def fussy(number: Annotated[int, AfterValidator(picky)]) -> int:
    return number


@router.get("/files/{path:path}")
async def files(path: str) -> str:
    return path


@router.get("/number/{number:int}")
async def number(number: int) -> int:
    return number


@router.post("/body")
async def body(thing: Thing, request: Request) -> list[Any]:
    return [thing, (await request.body()).decode(), await request.json(), str(request.url), request.path_params]


@router.post("/optional")
async def optional(thing: Thing | None = None) -> Thing | None:
    return thing


@router.post("/embedded")
async def embedded(thing: Annotated[Thing, Body(embed=True)]) -> Thing:
    return thing


@router.post("/two")
async def two(one: Thing, other: Thing) -> list[Thing]:
    return [one, other]


@router.post("/list")
async def many(things: list[Thing]) -> list[Thing]:
    return things


@router.post("/form")
async def form(name: Annotated[str, Form()]) -> str:
    return name


@router.post("/file")
async def file(content: Annotated[bytes, File()]) -> int:
    return len(content)


@router.post("/limited", max_body_size=10)
async def limited(thing: Thing) -> Thing:
    return thing


@router.get("/stream")
async def stream() -> AsyncIterator[Thing]:
    yield Thing(name="a")
    yield Thing(name="b")


@router.api_route("/methods", methods=["GET", "HEAD", "PURGE"])
async def methods(request: Request) -> str:
    return request.method


@router.websocket("/socket")
async def socket(_: WebSocket) -> None:
    raise AssertionError("nobody calls it")


own = APIRouter(route_class=OwnRoute)


@own.get("/own")
async def own_route() -> str:
    return "not reached"


def make(*, prepared: bool) -> FastAPI:
    """An application with all of these."""
    app = FastAPI()
    nested = APIRouter(prefix="/nested")
    nested.include_router(router)
    app.include_router(own)
    app.include_router(router)
    app.include_router(nested, prefix="/deep", dependencies=[Depends(shared)])
    app.mount("/mounted", router_app := FastAPI())
    router_app.include_router(router)

    @app.exception_handler(Teapot)
    async def brew(request: Request, error: Exception) -> Response:
        return JSONResponse({"path": request.url.path, "route": str(request.scope.get("route"))}, 418)

    if prepared:
        app.add_middleware(PreparedRoutes, api=app)
    return app


JSON = b'{"name": "x", "Size": 2}'
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", path, {})
    for path in (
        "/r/shadow/never", "/r/shadow/x", "/r/plain/1", "/r/plain/0", "/r/plain/x", "/r/plain/1?q=2&flag=yes&note=",
        "/r/plain/1?q=x",
        "/r/plain/1/", "/r/tree", "/r/fresh", "/r/yield", "/r/scopes", "/r/bearer", "/r/refused", "/r/sync", "/r/status/202",
        "/r/status/204", "/r/status/205", "/r/status/304", "/r/status/404", "/r/response", "/r/teapot/own", "/r/teapot/http",
        "/r/teapot/any", "/r/background", "/r/row", "/r/rows", "/r/wrong", "/r/untyped", "/r/none", "/r/class", "/r/lists",
        "/r/lists?number=1&number=2", "/r/query-model?name=x", "/r/query-model", "/r/names?a-b=1&C=2&a=3&c=4", "/r/names?a-b=x",
        "/r/cookie", "/r/colour/red", "/r/colour/blue", "/r/picky/1", "/r/picky/3", "/r/picky/x", "/r/files/a/b/c", "/r/files/",
        "/r/number/7", "/r/number/x", "/r/stream", "/r/methods", "/own", "/deep/nested/r/tree", "/mounted/r/tree",
        "/mounted/r/plain/1", "/openapi.json", "/docs", "/r/socket", "/r/nothing", "/r", "",
    )
]  # fmt: skip
REQUESTS += [
    ("GET", "/r/tree", {"headers": {"X-Name": "me", "X-Count": "7"}}),
    ("GET", "/r/tree", {"headers": {"X-Count": "x"}}),
    ("GET", "/r/bearer", {"headers": {"Authorization": "Bearer x"}}),
    ("GET", "/r/names", {"headers": {"Under-Score": "1", "under_score": "2", "raw_name": "3", "raw-name": "4"}}),
    ("GET", "/r/names", {"headers": [("Under-Score", "1"), ("Under-Score", "2")]}),
    ("GET", "/r/cookie", {"headers": {"Cookie": "a=1"}}),
    ("HEAD", "/r/methods", {}), ("PURGE", "/r/methods", {}), ("POST", "/r/methods", {}), ("HEAD", "/r/plain/1", {}),
]  # fmt: skip
REQUESTS += [
    ("POST", f"/r/{path}", {"content": content, "headers": headers})
    for path in ("body", "optional", "embedded", "two", "list", "limited")
    for content in (
        JSON,
        b"",
        b"null",
        b'{"name": 1}',
        b"{",
        b'{"thing": ' + JSON + b"}",
        b"[" + JSON + b"]",
        b'{"name":""}',
    )
    for headers in ({"Content-Type": "application/json"}, {})
]
REQUESTS += [
    ("POST", "/r/form", {"data": {"name": "x"}}),
    ("POST", "/r/form", {}),
    ("POST", "/r/file", {"files": {"content": b"12345"}}),
]


@pytest.mark.parametrize(("method", "path", "request_"), REQUESTS)
async def test_it_is_as_fastapi_has_it(method: str, path: str, request_: dict[str, Any]) -> None:
    """Status, headers, body, and what was called, in this order."""
    seen = []
    for prepared in (True, False):
        calls.clear()
        async with client_of(make(prepared=prepared)) as client:
            answer = await client.request(method, path, **request_)
        seen.append((answer.status_code, answer.headers.raw, answer.content, calls.copy()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "path", ["/r/plain/1", "/r/tree", "/r/status/202", "/r/bearer", "/r/names", "/deep/nested/r/tree"]
)
async def test_what_can_be_is_prepared(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the comparison would compare FastAPI with itself."""
    prepared = []
    answer = Prepared.answer

    async def counting(self: Prepared, *arguments: Any) -> Any:
        prepared.append(path)
        return await answer(self, *arguments)

    monkeypatch.setattr(Prepared, "answer", counting)
    async with client_of(make(prepared=True)) as client:
        await client.get(path, headers={"Authorization": "Bearer x"})
    assert prepared == [path]


async def test_behind_a_prefix_it_is_as_fastapi_has_it() -> None:
    """`root_path`, which a proxy takes off, or leaves on."""
    for path in ("/r/plain/1", "/api/r/plain/1", "/api", "/apir/plain/1"):
        seen = []
        for prepared in (True, False):
            app = make(prepared=prepared)
            app.root_path = "/api"
            async with client_of(app) as client:
                answer = await client.get(path)
            seen.append((answer.status_code, answer.headers.raw, answer.content))
        assert seen[0] == seen[1]
