"""Items in bulk over HTTP: streams, in constant memory."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.requests import ClientDisconnect

from service.auth.access import SignedIn
from service.idempotency.header import HashedStream, Idempotent
from service.injection import Provide, inject
from service.items.bulk.errors import BadLines, TookTooLong
from service.items.bulk.exports import ItemExports
from service.items.bulk.formats import CsvLines, JsonLines, Reader
from service.items.bulk.imports import ItemImports
from service.items.schemas import Imported
from service.web.middleware import raise_body_limits
from service.web.openapi import problem_responses
from service.web.parameters import Id
from service.web.problems import CountedMistakes
from service.web.representation import LOCATION, path_below
from service.web.streaming import JsonLinesResponse

router = APIRouter()

READERS: Mapping[str, type[Reader]] = {
    "application/x-ndjson": JsonLines,
    "application/jsonl": JsonLines,
    "application/json-lines": JsonLines,
    "text/csv": CsvLines,
}
"""The reader of each media type."""

_JSON_LINES = '{"title": "A pen", "description": "Blue, nearly new"}\n{"title": "A cup"}\n'
_CSV = 'title,description\nA pen,"Blue, nearly new"\nA cup,\n'
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            media_type: {"schema": {"type": "string"}, "example": _CSV if reader is CsvLines else _JSON_LINES}
            for media_type, reader in READERS.items()
        },
    }
}
_LINES = {
    "description": "One item in each line",
    "content": {
        JsonLinesResponse.media_type: {
            "schema": {"type": "string"},
            "example": '{"id":1,"title":"A pen","description":"Blue, nearly new","owner_id":1}\n',
        }
    },
}


@router.post(
    "/users/{user_id:id}/items/import",
    status_code=201,
    summary="Import items",
    responses={201: {"headers": {**LOCATION}}, **problem_responses(401, 403, 404, 413)},
    openapi_extra=_BODY,
)
@inject
async def import_items(
    caller: SignedIn,
    user_id: Id,
    request: Request,
    response: Response,
    idempotent_request: Idempotent,
    imports: ItemImports = Provide["item_imports"],
) -> Imported:
    """Create all items of a stream or none: JSON lines, or CSV with the header `title,description`, in UTF-8.

    `errors` names up to a hundred bad lines. Only a few imports and exports run at the same time; the next is a 503.
    """
    caller.require(user_id)
    response.headers["Location"] = path_below(request.scope, f"/users/{user_id}/items/")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in READERS:
        raise HTTPException(415, f"body: must be JSON lines or CSV, sent as one of {', '.join(READERS)}")
    raise_body_limits(request, max_bytes=imports.max_bytes, seconds=imports.max_seconds)
    try:
        stream = HashedStream(request)
        return await imports.run(
            user_id, READERS[media_type], aiter(stream), idempotent_request and stream.identify(idempotent_request)
        )
    except BadLines as error:
        mistakes = [{"loc": (where,), "msg": message} for where, message in error.mistakes]
        raise CountedMistakes(mistakes) from error
    except TookTooLong as error:
        raise HTTPException(408, f"body: {error}", {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "body: ended too early") from error


@router.get(
    "/items/export",
    status_code=200,
    summary="Export items",
    response_class=JsonLinesResponse,
    responses={200: _LINES, **problem_responses(401, validates=False)},
)
@inject
async def export_items(caller: SignedIn, exports: ItemExports = Provide["item_exports"]) -> JsonLinesResponse:
    """Return all items as they are at one moment, in the order of their ids, as JSON lines: all for admins, your own for users.

    To keep a copy, compare exports: they miss no change and no deletion. A list by `after` can miss rows.

    A transfer that fails or takes too long ends without the last chunk: clients have to check for it.
    """
    return JsonLinesResponse(partial(exports.run, caller.owner_id))
