"""The section `limits` of the settings."""

from collections.abc import Mapping
from typing import Annotated, Literal

from limits import parse_many
from pydantic import AfterValidator, BaseModel, ConfigDict

Action = Literal["login", "register"]

_MAX_WINDOW_SECONDS = 366 * 24 * 60 * 60
_MAX_ATTEMPTS = 2**31 - 1


def _readable(limit: str) -> str:
    try:
        each = parse_many(limit)
    except ValueError:
        each = []
    if not each or any(not 0 < one.amount <= _MAX_ATTEMPTS or one.get_expiry() > _MAX_WINDOW_SECONDS for one in each):
        raise ValueError('must be like "10/minute" or "10/minute; 50/hour", at most a year')
    return limit


Limit = Annotated[str, AfterValidator(_readable)]
"""One limit or several, in the notation of the library `limits`."""


class RateLimitSettings(BaseModel):
    """Limits of attempts to sign in and to register. An attempt above a limit gets a 429."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    login_per_address: Limit = "10/minute"
    """For each e-mail address, from all clients together."""
    login_per_client: Limit = "30/minute"
    """For each IPv4 address or IPv6 /64, which a whole office may share."""
    register_per_address: Limit = "10/hour"
    register_per_client: Limit = "100/hour"

    @property
    def of_attempts(self) -> Mapping[Action, tuple[str, str]]:
        """Return the limits per address and per client of each action."""
        return {
            "login": (self.login_per_address, self.login_per_client),
            "register": (self.register_per_address, self.register_per_client),
        }
