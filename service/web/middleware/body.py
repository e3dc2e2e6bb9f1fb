"""How large a request's body may be, how long it may take to arrive, and how it is coded."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import _BODY_LIMIT_RESPONDER_SCOPE_KEY as _RESPONDER
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

_DIGITS = 18
"""A length of more digits is too large for any limit, and Python refuses to read one of thousands."""
_CHARSET = re.compile(rb"""charset\s*=\s*["']?([^\s;"']*)""")
_UTF_8 = (b"utf-8", b"utf8", b"us-ascii", b"ascii")


def raise_body_limits(request: Request, *, max_bytes: int, seconds: float) -> None:
    """Let this one request have a larger and slower body. Call it before the first part of `request.stream()` is read.

    It is for a route that takes its body as a stream. FastAPI reads any other body before the route and what it depends on
    run: for that, declare `max_body_size=` at the route, and `body_seconds`.
    """
    body = request.scope.get(_RESPONDER)
    if isinstance(body, _Body):
        body.max_body_size, body.seconds = max_bytes, seconds


def body_seconds(seconds: float) -> Any:
    """For `dependencies=` of a route or of its router: how long its body may take, in the place of `http.body_seconds`."""
    return Depends(_Seconds(seconds))


@dataclass(frozen=True)
class _Seconds:
    """A mark at a route. When FastAPI calls what a route depends on, it has read the body."""

    seconds: float

    async def __call__(self) -> None:
        pass


class BodyLimits:
    """Refuses a body of more than `max_bytes` with a 413, and one that takes longer than `seconds` with a 408.

    `max_body_size=`, which FastAPI has for a route, a router and its inclusion, goes before `max_bytes`, and `body_seconds`
    before `seconds`. FastAPI's own limit would answer in plain text.
    """

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds

    def limited(self, scope: Scope, receive: Receive) -> Receive:
        """What a request's body is received by. Up to HTTP/1.1, one without either header has none, and pays nothing.

        Raises a 501 for a transfer coding that is not read, and a 400 for one in HTTP/1.0.
        """
        if scope["type"] != "http":
            return receive
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if b"content-length" in headers or b"transfer-encoding" in headers or scope.get("http_version", "1.1") >= "2":
            if b"transfer-encoding" in headers:
                _check_transfer(scope)
            body = _Body(scope, receive, headers, self._max_bytes, self._seconds)
            scope[_RESPONDER] = body  # there FastAPI's limit of a route finds it, and sets its `max_body_size`
            return body.receive
        return receive


class _Body:
    """The body of one request, on its way."""

    def __init__(
        self, scope: Scope, receive: Receive, headers: dict[bytes, bytes], max_bytes: int, seconds: float
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._headers = headers
        self.max_body_size = max_bytes  # the names are Starlette's
        self.total_size = 0
        self.seconds = seconds
        self._began: float | None = None
        self._ended = False

    async def receive(self) -> Message:
        """The next part. Raises a 413 or a 408, and at the first a 415."""
        if self._ended:  # what comes now is the client's leaving, which takes its time
            return await self._receive()
        if self._began is None:
            self._begin()
        try:
            async with asyncio.timeout_at((self._began or 0) + self.seconds):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow(self.seconds) from None
        self._ended = not message.get("more_body", False)
        self.total_size += len(message.get("body", b""))
        if self.total_size > self.max_body_size:
            raise _too_large(self.max_body_size)
        return message

    def _begin(self) -> None:
        """Refuse what would not be read. Only now is it known which route reads it."""
        if b"content-encoding" in self._headers:
            _check_coding(self._scope)
        _check_charset(self._headers.get(b"content-type", b"").lower())
        announced = self._headers.get(b"content-length", b"")
        if announced.isdigit() and (len(announced) > _DIGITS or int(announced) > self.max_body_size):
            raise _too_large(self.max_body_size)
        for depends in getattr(self._scope.get("route"), "dependencies", ()):
            if isinstance(depends.dependency, _Seconds):
                self.seconds = depends.dependency.seconds
        self._began = asyncio.get_running_loop().time()


def _check_transfer(scope: Scope) -> None:
    codings = [value.strip().lower() for name, value in scope["headers"] if name == b"transfer-encoding"]
    if codings != [b"chunked"]:
        raise HTTPException(501, "Transfer-Encoding: only chunked is read", {"Connection": "close"})
    if scope.get("http_version") == "1.0":
        raise HTTPException(400, "Transfer-Encoding: HTTP/1.0 has none", {"Connection": "close"})


def _check_coding(scope: Scope) -> None:
    values = b",".join(value for name, value in scope["headers"] if name == b"content-encoding")
    if {coding.strip().lower() for coding in values.split(b",")} - {b"", b"identity"}:
        raise HTTPException(415, "body: must not be compressed or coded otherwise", {"Accept-Encoding": "identity"})


def _check_charset(content_type: bytes) -> None:
    """A form in parts says the charset of its texts, and Starlette reads it. All other text is read as UTF-8."""
    if b"charset" not in content_type or content_type.startswith(b"multipart/"):
        return
    named = _CHARSET.search(content_type)
    if named is not None and named[1] not in _UTF_8:
        raise HTTPException(415, "body: must be in UTF-8")


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"body: larger than the {max_bytes} bytes allowed")


def _too_slow(seconds: float) -> HTTPException:
    """The connection is of no more use: nobody knows when the rest of this body will have passed."""
    return HTTPException(408, f"body: did not arrive within {seconds:g} seconds", {"Connection": "close"})
