"""`Idempotency-Key` over HTTP."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from service.access import SignedIn
from service.idempotency.keys import Attempt

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


async def attempt_of_anybody(request: Request, response: Response, key: Key = None) -> Attempt | None:
    """The request as one that may come again, if it carries a key."""
    if key is None:
        return None
    target = f"{request.method} {request.url.path}?{request.url.query}\n"
    return Attempt(
        key=key,
        content=target.encode(errors="surrogatepass") + await request.body(),
        replayed=lambda: response.headers.update({"Idempotency-Replayed": "true"}),
    )


IdempotentForAll = Annotated[Attempt | None, Depends(attempt_of_anybody)]
"""The parameter of a handler that creates something for whoever calls, for `Idempotency.once`."""


async def attempt(caller: SignedIn, attempt: IdempotentForAll) -> Attempt | None:
    """The same as the caller's own: different callers may use one key."""
    return None if attempt is None else replace(attempt, caller=caller.user_id)


Idempotent = Annotated[Attempt | None, Depends(attempt)]
"""The parameter of a handler that creates something for the caller who signed in."""
