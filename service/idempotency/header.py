"""`Idempotency-Key` over HTTP."""

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
        description="The same key with the same body gives the first answer again, and does nothing twice",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]


async def attempt_of_anybody(request: Request, response: Response, key: Key = None) -> IdempotentRequest | None:
    """The request as one that may come again, if it carries a key. Raises `Unprocessable` for two."""
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


IdempotentForAll = Annotated[IdempotentRequest | None, Depends(attempt_of_anybody)]
"""The parameter of a handler that creates something for whoever calls, for `Idempotency.once`."""


async def attempt(caller: SignedIn, attempt: IdempotentForAll) -> IdempotentRequest | None:
    """The same as the caller's own: different callers may use one key."""
    return None if attempt is None else replace(attempt, caller=caller.user_id)


Idempotent = Annotated[IdempotentRequest | None, Depends(attempt)]
"""The parameter of a handler that creates something for the caller who signed in."""


class HashedStream:
    """The body of a request as a stream, and an attempt that knows it by its hash."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._chunks = request.stream()
        self._hash = sha256()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._hash.update(chunk)
            yield chunk

    def identify(self, attempt: IdempotentRequest) -> IdempotentRequest:
        """The attempt, with the hash of the whole stream for its body: what is not read yet is read for it."""

        async def content() -> bytes:
            async for _ in self:
                pass
            return _target(self._request) + self._hash.digest()

        return replace(attempt, content=content)


def _target(request: Request) -> bytes:
    return f"{request.method} {request.url.path}?{request.url.query}\n".encode(errors="surrogatepass")
