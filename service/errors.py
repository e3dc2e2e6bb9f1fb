"""The kinds of error that the service raises on purpose."""


class ServiceError(Exception):
    """Base of what a caller can do wrong or meet. The message is meant for the caller."""

    message = "The request cannot be carried out"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class BadRequest(ServiceError):
    """The request contradicts what is stored."""


class NotFound(ServiceError):
    """What the request names does not exist."""


class Unavailable(ServiceError):
    """The service cannot answer now, and may later."""
