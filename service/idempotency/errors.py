"""Errors of an `Idempotency-Key`."""

from service.errors import Unavailable, Unprocessable


class KeyUsedOtherwise(Unprocessable):
    """The key was used for another request."""

    message = "header.Idempotency-Key: was used for another request; send a new key with a new request"


class KeyInUse(Unavailable):
    """The first request with this key is still in progress."""

    message = "A request with this Idempotency-Key is still in progress; try again shortly"
