"""Errors of readiness."""

from service.errors import Unavailable


class NotReady(Unavailable):
    """The service is not ready. The message says why."""
