"""The header `Idempotency-Key`, for handlers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from service.auth.access import SignedIn
from service.errors import Unprocessable
from service.idempotency.keys import IdempotentRequest

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Repeats with the same key and body are not carried out again; they get the first response",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]


async def idempotent_request(request: Request, response: Response, key: Key = None) -> IdempotentRequest | None:
    """Return the request as one that may be repeated, if it has a key. Raises `Unprocessable` for two keys."""
    if key is None:
        return None
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise Unprocessable("header.Idempotency-Key: was sent more than once")

    async def content() -> bytes:
        return _target(request) + await request.body()

    return IdempotentRequest(
        key=key,
        content=content,
        replayed=lambda: response.headers.update({"Idempotency-Replayed": "true"}),
    )


IdempotentForAll = Annotated[IdempotentRequest | None, Depends(idempotent_request)]
"""The type of a handler's parameter for `Idempotency.once`, on a route that needs no token."""


async def idempotent_request_of_caller(caller: SignedIn, idempotent: IdempotentForAll) -> IdempotentRequest | None:
    """Return the same for the caller who signed in: different callers may use the same key."""
    return None if idempotent is None else replace(idempotent, caller=caller.user_id)


Idempotent = Annotated[IdempotentRequest | None, Depends(idempotent_request_of_caller)]
"""The type of a handler's parameter for `Idempotency.once`, on a route for callers who signed in."""


class HashedStream:
    """Streams a request's body, and identifies the request by the body's hash."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._chunks = request.stream()
        self._hash = sha256()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._hash.update(chunk)
            yield chunk

    def identify(self, idempotent: IdempotentRequest) -> IdempotentRequest:
        """Return the request, identified by the hash of its whole body. Reads the rest of the body first."""

        async def content() -> bytes:
            async for _ in self:
                pass
            return _target(self._request) + self._hash.digest()

        return replace(idempotent, content=content)


def _target(request: Request) -> bytes:
    return f"{request.method} {request.url.path}?{request.url.query}\n".encode(errors="surrogatepass")
