"""The kinds of domain error. Each feature derives its own; `service.web.problems` maps the kinds to statuses."""


class ServiceError(Exception):
    """Base of errors for the caller. The message is meant for the caller."""

    message = "The request cannot be carried out"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class BadRequest(ServiceError):
    """The request contradicts the stored data."""


class Unauthorized(ServiceError):
    """The request does not prove who sends it."""

    message = "Sign in first: the request has no valid access token"


class PreconditionFailed(ServiceError):
    """The object has changed since the client read it."""

    message = "It has been changed since: read it again, and send the new ETag in If-Match"


class Forbidden(ServiceError):
    """The caller is not allowed to do that."""

    message = "You may not do that"


class NotFound(ServiceError):
    """The object that the request names does not exist."""


class Conflict(ServiceError):
    """The stored data does not allow the change now."""


class Unprocessable(ServiceError):
    """The request is well-formed, but cannot be carried out as it is."""


class TooManyRequests(ServiceError):
    """The caller has to wait."""

    message = "Too many requests: try again later"

    def __init__(self, retry_after: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the caller has to wait at least."""


class Unavailable(ServiceError):
    """The service cannot answer now, but may later."""
