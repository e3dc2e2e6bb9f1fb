"""The kinds of error that the service raises on purpose."""

Tags = list[str] | None
"""The versions of an object that a change depends on; `None`: it depends on none."""


class ServiceError(Exception):
    """Base of what a caller can do wrong or meet. The message is meant for the caller."""

    message = "The request cannot be carried out"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class BadRequest(ServiceError):
    """The request contradicts what is stored."""


class Unauthorized(ServiceError):
    """The request does not prove who sends it."""

    message = "Sign in first: the request has no valid access token"


class PreconditionFailed(ServiceError):
    """What is to be changed is no longer what the client has read."""

    message = "It has been changed since: read it again, and send the new ETag in If-Match"


class Forbidden(ServiceError):
    """Who sends the request may not do that."""

    message = "You may not do that"


class NotFound(ServiceError):
    """What the request names does not exist."""


class Conflict(ServiceError):
    """What is stored does not allow the change now."""


class Unprocessable(ServiceError):
    """The request is understood, and cannot be carried out as it is written."""


class TooManyRequests(ServiceError):
    """Who sends the request has to wait."""

    message = "Too many requests: try again later"

    def __init__(self, retry_after: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds, at least."""


class Unavailable(ServiceError):
    """The service cannot answer now, and may later."""
