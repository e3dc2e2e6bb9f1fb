"""What a request is called: its id, and its name in log lines."""

from collections.abc import Iterable
from random import getrandbits
from string import ascii_letters, digits

from starlette.types import Scope

_BEGUN = "poolkeeper.answer_begun"
_LONGEST = 64
_SAFE = f"{ascii_letters}{digits}._-".encode()


def give_id(scope: Scope) -> str:
    """Give a request its id: the client's `X-Request-ID`, where that is safe in a log line, else a new one.

    Handlers find it in `request.state.request_id`. It is a name, and no secret.
    """
    given = _sent(scope["headers"]) or f"{getrandbits(128):032x}"
    scope.setdefault("state", {})["request_id"] = given
    return given


def id_of(scope: Scope) -> str:
    """The id that `give_id` gave."""
    given: str = scope["state"]["request_id"]
    return given


def begin_answer(scope: Scope) -> None:
    """Note that the head of a request's answer is on its way."""
    scope[_BEGUN] = True


def has_begun(scope: Scope) -> bool:
    """Whether a request's answer has begun: another can no more be given."""
    return _BEGUN in scope


def name_of(scope: Scope) -> str:
    """Method, path and id, on one line whatever the client sent."""
    path: str = scope["path"] if scope["path"].isprintable() else repr(scope["path"])
    return f"{scope.get('method', 'WEBSOCKET')} {path} [{id_of(scope)}]"


def _sent(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"x-request-id":
            return value.decode() if len(value) <= _LONGEST and not value.translate(None, _SAFE) else None
    return None
