"""Why the service is not ready."""

from service.errors import Unavailable


class NotReady(Unavailable):
    """The service cannot work now. The message says why."""
