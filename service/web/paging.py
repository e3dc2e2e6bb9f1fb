"""Lists, one page at a time: by `skip`, or by `after`, with which the last page costs what the first does."""

from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Request, Response

from service.web.parameters import After, Limit, Skip


class Keyed(Protocol):
    """A row with the key that its list is ordered by."""

    @property
    def id(self) -> int:
        """The key."""


T = TypeVar("T", bound=Keyed)


class Paging:
    """The page that a request asks for, for a handler's `paging: Pages`."""

    __slots__ = ("_limit", "_path", "_response", "after", "limit", "skip")

    def __init__(self, path: str, response: Response, after: int, skip: int, limit: int) -> None:
        self._path = path
        self._response = response
        self._limit = limit
        self.after = after
        self.skip = skip
        self.limit = limit + 1
        """How many rows to read: one more than the page has, which tells whether there is a next page."""

    def page(self, rows: Sequence[T]) -> list[T]:
        """Return the rows of the page, and set the header `Link` to the next page if there is one.

        A list, which pydantic turns into JSON in less than half of the time that another sequence takes.
        """
        if len(rows) <= self._limit:
            return list(rows)
        after = rows[self._limit - 1].id
        self._response.headers["Link"] = f'<{self._path}?after={after}&limit={self._limit}>; rel="next"'
        return list(rows[: self._limit])


async def paging(request: Request, response: Response, after: After = 0, skip: Skip = 0, limit: Limit = 100) -> Paging:
    """Return the page that a request asks for, as a dependency of FastAPI."""
    return Paging(request.url.path, response, after, skip, limit)


Pages = Annotated[Paging, Depends(paging)]
"""The type of a handler's `paging`: the parameters `after`, `skip` and `limit`."""
