"""Lists, a page at a time: by `skip`, or by key, where the last page costs what the first does."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from fastapi import Request, Response


class Keyed(Protocol):
    """What a list is ordered by."""

    @property
    def id(self) -> int:
        """The key."""


T = TypeVar("T", bound=Keyed)


def page(rows: Sequence[T], limit: int, request: Request, response: Response) -> list[T]:
    """The first `limit` of the rows, of which one more was asked for: if it is there, `Link` says where to go on.

    A list, which pydantic turns into JSON in less than half of the time that another sequence takes.
    """
    if len(rows) <= limit:
        return list(rows)
    response.headers["Link"] = f'<{request.url.path}?after={rows[limit - 1].id}&limit={limit}>; rel="next"'
    return list(rows[:limit])
