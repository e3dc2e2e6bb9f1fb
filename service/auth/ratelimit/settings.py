"""How often something may be done."""

from collections.abc import Mapping
from typing import Annotated, Literal

from limits import parse_many
from pydantic import AfterValidator, BaseModel, ConfigDict

Action = Literal["login", "register"]

_LONGEST_WINDOW = 366 * 24 * 60 * 60
_MOST_ATTEMPTS = 2**31 - 1


def _readable(limit: str) -> str:
    try:
        each = parse_many(limit)
    except ValueError:
        each = []
    if not each or any(not 0 < one.amount <= _MOST_ATTEMPTS or one.get_expiry() > _LONGEST_WINDOW for one in each):
        raise ValueError('must be like "10/minute" or "10/minute; 50/hour", at most a year')
    return limit


Limit = Annotated[str, AfterValidator(_readable)]
"""One limit or several, in the notation of the library `limits`."""


class RateLimitSettings(BaseModel):
    """How often somebody may try to sign in or to register. Too often is a 429."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    login_per_address: Limit = "10/minute"
    """For one e-mail address, from wherever."""
    login_per_client: Limit = "30/minute"
    """For one IPv4 address or IPv6 /64: an office may share one."""
    register_per_address: Limit = "10/hour"
    register_per_client: Limit = "100/hour"

    @property
    def of_attempts(self) -> Mapping[Action, tuple[str, str]]:
        """The limits per address and per client, by action."""
        return {
            "login": (self.login_per_address, self.login_per_client),
            "register": (self.register_per_address, self.register_per_client),
        }
