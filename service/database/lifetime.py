"""How long a connection is used."""

import random
from time import monotonic


def renewal_time(max_lifetime: float) -> float:
    """When, on the monotonic clock, a connection opened now is renewed: up to a tenth early, so that not all are at once."""
    if not max_lifetime:
        return float("inf")
    return monotonic() + max_lifetime * random.uniform(0.9, 1.0)  # noqa: S311 - jitter, not a secret
