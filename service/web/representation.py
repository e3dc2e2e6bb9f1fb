"""One object over HTTP: where it is, which version of it was sent, and on which version a change depends.

The tag is a hash of the JSON, so it differs whenever what was sent would. A statement that depends on it makes the same JSON
of the row as it is now, and hashes that: PostgreSQL compares in the moment of the change, and two changes of one version
cannot both succeed. No column and no trigger is needed, and none can be forgotten.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from service.errors import BadRequest
from service.web.input import ETags

_JSON = (b"content-type", b"application/json")
_TAG_BYTES = 32
"""Hexadecimal digits of SHA-256 that are told; `TAG_OF` in SQL cuts off as many."""
_LISTED = re.compile(r'[ \t]*(?:(W/)?("[\x21\x23-\x7e\x80-\xff]*"))?[ \t]*(?:,|$)')


class Representation(Response):
    """An object as JSON, with its `ETag`; to a GET that has it already (`If-None-Match`) a 304 without it.

    It is sent as it is: Starlette's own `Response` would take longer than the tag.
    """

    def __init__(
        self, body: bytes, status: int = 200, location: str | None = None, extra: Response | None = None
    ) -> None:
        """`location`: the path of what was created, below the application's own. `extra`: whose headers are added."""
        self.body = self._content = body
        self.status_code = status
        self.background = None
        self.raw_headers = [] if extra is None else extra.raw_headers
        self._location = location

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002, D102 - ASGI
        body = self._content
        tag = tag_of(body)
        if scope["method"] == "GET" and _has(scope, tag):
            status, body, headers = 304, b"", [(b"etag", tag)]
        else:
            status = self.status_code
            headers = [(b"content-length", b"%d" % len(body)), _JSON, (b"etag", tag), *self.raw_headers]
            if self._location is not None:
                headers.append((b"location", path_below(scope, self._location).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        if self.background is not None:
            await self.background()


class Represented:
    """Makes representations of objects of one type: validated, as FastAPI does with what a handler gives."""

    def __init__(self, kind: type[Any]) -> None:
        adapter = TypeAdapter(kind)
        self._validated = partial(adapter.validator.validate_python, from_attributes=True)
        self._json = adapter.serializer.to_json

    def __call__(self, value: object) -> Representation:
        """The representation of an object."""
        return Representation(self._json(self._validated(value)))

    def created(self, value: object, location: str, extra: Response) -> Representation:
        """The same for a 201: `location` and `extra` as for `Representation`."""
        return Representation(self._json(self._validated(value)), 201, location, extra)


def path_below(scope: Scope, path: str) -> str:
    """A path of the application as clients see it: below the proxy's or the other application's it is mounted in."""
    return quote(scope.get("root_path", ""), safe="/:@!$&'()*+,;=~") + path


def tag_of(body: bytes) -> bytes:
    """The tag of a representation: `TAG_OF` in SQL, of the same JSON, is equal."""
    return f'"{sha256(body).hexdigest()[:_TAG_BYTES]}"'.encode()


def _has(scope: Scope, tag: bytes) -> bool:
    """Whether `If-None-Match` names the tag. A header that is no list of tags is taken for none."""
    for name, _ in scope["headers"]:
        if name == b"if-none-match":
            break
    else:
        return False
    given = ",".join(str(value, "latin-1") for name, value in scope["headers"] if name == b"if-none-match")
    if given.strip() == "*":
        return True
    try:
        return any(listed == tag.decode() for _, listed in _listed(given))
    except ValueError:
        return False


def _listed(text: str) -> Iterator[tuple[bool, str]]:
    """The tags of a list, and whether each is a weak one. Raises `ValueError` for what is no such list."""
    place = 0
    while place < len(text):
        found = _LISTED.match(text, place)
        if found is None:
            raise ValueError(text)
        if found[2] is not None:
            yield found[1] is not None, found[2]
        place = found.end()


async def if_match(request: Request) -> ETags:
    """The strong tags that a change depends on, or `None` where it depends on none.

    Raises `BadRequest` for what is no list of tags, and for `If-None-Match`, which must not be passed over (RFC 9110, 13.1.2).
    """
    if "if-none-match" in request.headers:
        raise BadRequest("header.If-None-Match: is for reading; a change takes If-Match")
    lines = request.headers.getlist("if-match")
    given = ",".join(lines)
    if not lines or given.strip() == "*":  # what does not exist is a 404 anyway
        return None
    try:
        tags = list(_listed(given))
    except ValueError:
        tags = []
    if not tags:
        raise BadRequest('header.If-Match: must be *, or entity tags in quotation marks: "a", "b"')
    return [tag.strip('"') for is_weak, tag in tags if not is_weak]


IfMatch = Annotated[ETags, Depends(if_match)]
"""The parameter of a handler that changes one object, with `openapi_extra=CONDITIONAL_CHANGE`."""

ETAG: Mapping[str, Any] = {
    "ETag": {
        "description": "The version that this is",
        "schema": {"type": "string"},
        "example": '"5a0f5a0d3f0c5a9d0a3c5a9d0f5a0d3c"',
    }
}
LOCATION: Mapping[str, Any] = {
    "Location": {
        "description": "The path of what was created",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/users/1",
    }
}

CREATED: dict[int | str, dict[str, Any]] = {201: {"headers": {**LOCATION, **ETAG}}}
"""For `responses=` of what answers with what it has created."""
CHANGED: dict[int | str, dict[str, Any]] = {200: {"headers": {**ETAG}}}
"""For `responses=` of what answers with one object."""
READ: dict[int | str, dict[str, Any]] = {**CHANGED, 304: {"description": "Not Modified", "headers": {**ETAG}}}
"""For `responses=` of what gives one object, with `openapi_extra=CONDITIONAL`."""
CONDITIONAL: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "Give it only if it is no longer what was read: its `ETag`, several, or `*`",
            "schema": {"type": "string"},
        }
    ]
}
CONDITIONAL_CHANGE: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "Change it only if it is still what was read: its `ETag`, several, or `*`",
            "schema": {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'},
        }
    ]
}
