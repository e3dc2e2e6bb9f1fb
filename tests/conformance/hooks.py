"""What Schemathesis has to know beyond the OpenAPI document. It loads this module by its name."""

import csv
import io
import itertools
import json
import os
from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import RejectedPositiveData

import service.app  # noqa: F401 - defines the errors of all features
from service.errors import BadRequest, PreconditionFailed, ServiceError

OWN_ID = os.environ.get("CONFORMANCE_USER_ID", "")
"""The user whose token is sent."""
ELSEWHERE = str(2**63 - 1)
"""An id that nobody has."""
KEY = "Idempotency-Key"


def _messages(kind: type[ServiceError]) -> Iterator[str]:
    yield kind.message
    for below in kind.__subclasses__():
        yield from _messages(below)


CONTRADICTS_WHAT_IS_STORED = {*_messages(BadRequest), *_messages(PreconditionFailed)}
"""Messages for requests that their schema allows: a document cannot know what is stored."""

_numbers = itertools.count()
_characters = st.characters(codec="utf-8", exclude_characters="\0")
_titles = st.text(_characters, min_size=1, max_size=200)
_items = st.lists(
    st.fixed_dictionaries({"title": _titles}, optional={"description": st.none() | st.text(_characters)}), min_size=1
)


def _json_lines(items: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()


def _csv(items: list[dict[str, Any]]) -> bytes:
    lines = io.StringIO()
    writer = csv.writer(lines, quoting=csv.QUOTE_ALL)
    writer.writerows([("title", "description"), *((item["title"], item.get("description")) for item in items)])
    return lines.getvalue().encode()


# OpenAPI 3.1 has no words for lines of which each has a schema: to the document they are a string.
schemathesis.openapi.media_type(
    "application/x-ndjson", _items.map(_json_lines), aliases=("application/jsonl", "application/json-lines")
)
schemathesis.openapi.media_type("text/csv", _items.map(_csv))


@schemathesis.hook
def before_load_schema(_: HookContext, document: dict[str, Any]) -> None:
    """Make bytes of the examples of these types, as Schemathesis wants them."""
    for content in document["paths"]["/users/{user_id}/items/import"]["post"]["requestBody"]["content"].values():
        content["example"] = content["example"].encode()


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], __: dict[str, Any]) -> None:
    """Turn away what would end the token that all other calls are made with, and give good requests keys of their own.

    Made-up keys come again and again, with other requests: most of these would be refused.
    """
    if str(case.path_parameters.get("user_id")) == OWN_ID and _ends_tokens(case):
        case.path_parameters["user_id"] = ELSEWHERE
    if KEY in case.headers and case.meta is not None and case.meta.generation.mode.is_positive:
        case.headers[KEY] = f"{case.headers[KEY][:200]}-{next(_numbers)}"


def _ends_tokens(case: Case[Any]) -> bool:
    if case.operation.path == "/users/{user_id}":
        deactivates = isinstance(case.body, dict) and "is_active" in case.body
        return case.method == "DELETE" or (case.method == "PATCH" and deactivates)
    return bool(case.operation.path == "/users/{user_id}/password")


NO_TAGS = "header.If-Match: must be"
"""How a 400 begins that has no list of tags in `If-Match`: in its coverage phase Schemathesis sends `0`, whatever the pattern."""


@schemathesis.hook
def filter_failure(_: HookContext, failure: Failure, __: Case[Any], response: Response) -> bool:
    """Whether a failure counts."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    detail = response.json()["detail"]
    return not (detail in CONTRADICTS_WHAT_IS_STORED or detail.startswith(NO_TAGS))
