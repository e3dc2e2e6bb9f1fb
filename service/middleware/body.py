"""How large a request's body may be, and how long it may take to arrive."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

_LIMITS = "poolkeeper.body_limits"
_DIGITS = 18
"""A length of more digits is too large for any limit, and Python refuses to read one of thousands."""


def raise_body_limits(request: Request, *, max_bytes: int, seconds: float) -> None:
    """Let this one request have a larger and slower body. Call it before the first part of `request.stream()` is read.

    It is for a route that takes its body as a stream. FastAPI reads any other body before the route runs.
    """
    request.scope[_LIMITS] = (max_bytes, seconds)


class BodyLimits:
    """Refuses a body of more than `max_bytes` with a 413, and one that takes longer than `seconds` with a 408.

    FastAPI's own limit of the size answers in plain text.
    """

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._limits = (max_bytes, seconds)

    def limited(self, scope: Scope, receive: Receive) -> Receive:
        """What a request's body is received by. Up to HTTP/1.1, one without either header has none, and pays nothing."""
        if scope["type"] != "http":
            return receive
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if b"content-length" in headers or b"transfer-encoding" in headers or scope.get("http_version", "1.1") >= "2":
            scope[_LIMITS] = self._limits
            return _Body(scope, receive, headers.get(b"content-length", b"")).receive
        return receive


class _Body:
    """The body of one request, on its way."""

    def __init__(self, scope: Scope, receive: Receive, announced: bytes) -> None:
        self._scope = scope
        self._receive = receive
        self._announced = 0
        if announced.isdigit():
            self._announced = int(announced) if len(announced) <= _DIGITS else 10**_DIGITS
        self._received = 0
        self._began: float | None = None
        self._ended = False

    async def receive(self) -> Message:
        """The next part. Raises a 413 or a 408."""
        if self._ended:  # what comes now is the client's leaving, which takes its time
            return await self._receive()
        max_bytes, seconds = self._scope[_LIMITS]
        if self._announced > max_bytes:
            raise _too_large(max_bytes)
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(self._began + seconds):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow(seconds) from None
        self._ended = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > max_bytes:
            raise _too_large(max_bytes)
        return message


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"body: larger than the {max_bytes} bytes allowed")


def _too_slow(seconds: float) -> HTTPException:
    """The connection is of no more use: nobody knows when the rest of this body will have passed."""
    return HTTPException(408, f"body: did not arrive within {seconds:g} seconds", {"Connection": "close"})
