"""`Idempotency-Key` over HTTP."""

from typing import Annotated

from fastapi import Depends, Header, Request, Response

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


async def attempt(request: Request, response: Response, key: Key = None) -> Attempt | None:
    """The request as one that may come again, if it carries a key."""
    if key is None:
        return None
    target = f"{request.method} {request.url.path}?{request.url.query}\n"
    return Attempt(
        key=key,
        content=target.encode(errors="surrogatepass") + await request.body(),
        replayed=lambda: response.headers.update({"Idempotency-Replayed": "true"}),
    )


Idempotent = Annotated[Attempt | None, Depends(attempt)]
"""The parameter of a handler that creates something, for `Idempotency.once`."""
