"""The edge of the service: where a request comes in and its answer goes out."""

from collections.abc import Iterable, Sequence

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.drain import Drain
from service.middleware.hosts import Hosts
from service.problems import problem_of
from service.request import give_id

RawHeader = tuple[bytes, bytes]

SECURITY_HEADERS: tuple[RawHeader, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""What every answer says, unless it says something else under the same name."""

_POLICY_VIOLATION = 1008


class Edge:
    """Gives each request an id and checks whom it is meant for; gives each answer its headers.

    One layer for all of it: each one more costs as much as what it does.
    """

    def __init__(self, app: ASGIApp, drain: Drain, allowed_hosts: Sequence[str], hsts_seconds: int) -> None:
        self._app = app
        self._drain = drain
        self._hosts = Hosts(allowed_hosts)
        hsts = (b"strict-transport-security", f"max-age={hsts_seconds}".encode())
        self._headers = SECURITY_HEADERS + ((hsts,) if hsts_seconds else ())
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = (b"x-request-id", give_id(scope).encode())

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._complete(message.get("headers", ()), own)
            await send(message)

        try:
            self._check(scope)
        except HTTPException as error:
            await problem_of(scope, error)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        give_id(scope)
        try:
            self._hosts.check(scope)
        except HTTPException as error:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.detail})
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        self._hosts.check(scope)
        if not scope.get("query_string", b"").isascii():  # Starlette's redirects and URLs cannot read it
            raise HTTPException(400, "query: other characters than ASCII must be percent-encoded")

    def _complete(self, given: Iterable[RawHeader], own: RawHeader) -> list[RawHeader]:
        """The headers of an answer: a new list, for a response that is sent twice keeps its own."""
        headers = list(given)
        names = [name for name, _ in headers]
        if self._names.isdisjoint(names):
            headers += self._headers
        else:
            headers += [header for header in self._headers if header[0] not in names]
        headers.append(own)
        if self._drain.active and b"connection" not in names:
            headers.append((b"connection", b"close"))
        return headers
