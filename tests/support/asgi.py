"""Calls an application without a client between: what a client would refuse to send, and what it would hide."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.types import ASGIApp, Message

RawHeaders = Iterable[tuple[bytes, bytes]]

HOST = (b"host", b"test")
END: Message = {"type": "http.request", "body": b"", "more_body": False}
"""The end of a body, which is all that a request without one has."""


class Answer:
    """What the application sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """Names and values; a name that is there twice fails."""
        pairs = [(name.decode(), value.decode()) for name, value in self.messages[0]["headers"]]
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])


def scope_of(method: str, path: str, headers: RawHeaders = (HOST,), query: bytes = b"") -> dict[str, Any]:
    """An HTTP request of a client."""
    return {
        "type": "http", "method": method, "path": path, "query_string": query, "headers": list(headers),
        "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
    }  # fmt: skip


async def call(
    app: ASGIApp, method: str, path: str, headers: RawHeaders = (HOST,), query: bytes = b"",
    receive: Callable[[], Awaitable[Message]] | None = None,
) -> Answer:  # fmt: skip
    """One request, with a body where `receive` gives one."""
    answer = Answer()
    await app(scope_of(method, path, headers, query), receive or parts(then=END), answer.send)
    return answer


def parts(*bodies: bytes, then: Message | None = None) -> Callable[[], Awaitable[Message]]:
    """The parts of a body that does not end: after them comes `then`, or nothing for ever."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    messages += [then] if then else []
    rest = iter(messages)

    async def receive() -> Message:
        for message in rest:
            return message
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    return receive
