"""Types of input that several features share."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from starlette.convertors import StringConvertor, register_url_convertor

from service.web.input import BIGINT_MAX

Id = Annotated[int, Path(ge=1, le=BIGINT_MAX, examples=[1])]
"""A path's id, within PostgreSQL's bigint."""


def register_id(convertor: str, *names: str) -> None:
    """Register a convertor for ids in paths that does not match `me` or these names.

    `register_id("item", "export")` makes `/items/{item_id:item}` leave `/items/export` to its own route: an unsupported
    method there is a 405, not a wrong id. Call it before the routes that use it.
    """

    class Convertor(StringConvertor):
        regex = f"(?!(?:{'|'.join(('me', *names))})(?:/|$))[^/]+"

    register_url_convertor(convertor, Convertor())


register_id("id")  # `{user_id:id}`

After = Annotated[
    int,
    Query(
        ge=0,
        le=BIGINT_MAX,
        description="The id after which to start, to page through what is there. It does not follow what is added: ids are "
        "given when rows are inserted and seen when they are committed, so a lower id can appear later, as those of a long "
        "import do",
    ),
]
Skip = Annotated[int, Query(ge=0, le=BIGINT_MAX, description="How many to leave out at the start")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many to give at most")]


async def _client_address(request: Request) -> str | None:
    return request.client and request.client.host


ClientAddress = Annotated[str | None, Depends(_client_address)]
"""The address of the client after proxy headers, for rate limits; `None` at a Unix socket."""
