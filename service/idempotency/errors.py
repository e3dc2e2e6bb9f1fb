"""What can go wrong with an `Idempotency-Key`."""

from service.errors import Unavailable, Unprocessable


class KeyUsedOtherwise(Unprocessable):
    """The key came with another request before."""

    message = "header.Idempotency-Key: it was used for another request; a new request needs a new key"


class KeyInUse(Unavailable):
    """The first request with this key is still being carried out."""

    message = "A request with this Idempotency-Key is still being carried out"
