"""The edge of the service: where a request comes in and its answer goes out."""

import sys
from collections.abc import Callable, Iterable, Sequence

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database import EmbeddedServerError
from service.errors import ServiceError
from service.migrations import MigrationError
from service.web.drain import Drain
from service.web.headers import SECURITY_HEADERS, RawHeader
from service.web.middleware.guards import check_upgrade
from service.web.problems import problem_of
from service.web.request_id import begin_answer, give_id

_POLICY_VIOLATION = 1008


class Edge:
    """Gives each request an id, and each answer its headers. A request that a guard refuses, by raising, comes no further.

    One layer for all of it: each one more costs as much as what it does.
    """

    def __init__(
        self,
        app: ASGIApp,
        drain: Drain,
        guards: Sequence[Callable[[Scope], None]],
        hsts_seconds: int,
        prepare_server: Callable[[Scope], None] | None = None,
    ) -> None:
        self._app = app
        self._drain = drain
        self._guards = guards
        self._prepare_server = prepare_server
        self._has_started = False
        """Whether the server has told of its start, and so has the service's protocol."""
        hsts = (b"strict-transport-security", f"max-age={hsts_seconds}".encode())
        self._headers = SECURITY_HEADERS + ((hsts,) if hsts_seconds else ())
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "lifespan":
            self._has_started = True
            if self._prepare_server is not None:
                self._prepare_server(scope)
            await self._app(scope, receive, _readable(send))
            return
        own = (b"x-request-id", give_id(scope).encode())

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                begin_answer(scope)
                message["headers"] = self._complete(message.get("headers", ()), own)
            await send(message)

        try:
            if not self._has_started:
                check_upgrade(scope)
            for guard in self._guards:
                guard(scope)
        except (HTTPException, ServiceError) as error:
            if scope["type"] == "http":
                await problem_of(scope, error)(scope, receive, answer)
                return
            reason = error.detail if isinstance(error, HTTPException) else str(error)
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
        else:
            await self._app(scope, receive, answer)

    def _complete(self, given: Iterable[RawHeader], own: RawHeader) -> list[RawHeader]:
        """The headers of an answer: a new list, for a response that is sent twice keeps its own."""
        headers = list(given)
        ours: Iterable[RawHeader] = self._headers
        for name, _ in headers:
            if name in self._names:
                names = {name for name, _ in headers}
                ours = [header for header in self._headers if header[0] not in names]
                break
        headers += ours
        headers.append(own)
        if self._drain.active and all(name != b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))
        return headers


def _readable(send: Send) -> Send:
    """What the server is told of a start that failed for a reason outside the code: one message, without a traceback."""

    async def readable(message: Message) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, EmbeddedServerError | MigrationError):
            message = {"type": message["type"], "message": str(error)}
        await send(message)

    return readable
