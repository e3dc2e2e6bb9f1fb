"""The sections `auth` and `passwords` of the settings."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

KEY_LENGTH = 32
"""The fewest characters of a key for HMAC-SHA-256 (RFC 7518, 3.2: as long as the hash)."""
EXAMPLE_KEY = "an example key, for development and tests alone"
MAKE_A_KEY = "make one with `openssl rand -base64 32`"
_EXAMPLES = ("example", "changeme", "change-me", "change_me", "changethis", "secret", "password")
_MIN_DISTINCT = 8
"""The fewest different characters of a key; a random key of 32 characters has more."""


class AuthSettings(BaseModel):
    """How callers are identified."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["token", "open"] | None = None
    """`open`: a request from this machine without a token is an admin's. `None`: `open` in development and test, else `token`."""
    key: Annotated[SecretStr, Field(min_length=KEY_LENGTH)] = SecretStr(EXAMPLE_KEY)
    """Signs tokens. Outside development and test the example is refused."""
    previous_key: Annotated[SecretStr, Field(min_length=KEY_LENGTH)] | None = None
    """The previous `key`. Its tokens are still accepted; remove it when the last of them has expired."""
    issuer: str = "poolkeeper"
    audience: str = "poolkeeper"
    token_seconds: Annotated[int, Field(ge=1)] = 3600
    remember_seconds: Annotated[float, Field(ge=0, le=60)] = 0
    """How long a process keeps the user of a token; 0: it asks PostgreSQL at each request.

    It saves a round trip of each request. During this time, a token that another process has ended is still accepted.
    """

    @property
    def keys(self) -> tuple[SecretStr, ...]:
        """Return the key that signs, followed by the previous one."""
        return (self.key,) if self.previous_key is None else (self.key, self.previous_key)

    @property
    def has_own_key(self) -> bool:
        """Return whether tokens are signed with a key other than the example."""
        return self.key.get_secret_value() != EXAMPLE_KEY

    def check_for(self, environment: str) -> None:
        """Raise `ValueError` for settings that only development and test may have. A missing key is not a mistake yet."""
        if self.mode == "open":
            raise ValueError(f"auth.mode: 'open' is not allowed in {environment}; use 'token'")
        if self.previous_key is not None and _is_guessable(self.previous_key.get_secret_value()):
            raise ValueError(f"auth.previous_key: looks like an example; {MAKE_A_KEY}")
        if self.has_own_key and _is_guessable(self.key.get_secret_value()):
            raise ValueError(f"auth.key: looks like an example; {MAKE_A_KEY}")


def _is_guessable(key: str) -> bool:
    """Return whether a key contains a word from an example, or has few different characters."""
    return any(word in key.lower() for word in _EXAMPLES) or len(set(key)) < _MIN_DISTINCT


class PasswordSettings(BaseModel):
    """The cost of a password's hash (argon2id). The defaults are OWASP's first recommendation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_kib: Annotated[int, Field(ge=8)] = 19 * 1024
    time_cost: Annotated[int, Field(ge=1)] = 2
    threads: Annotated[int, Field(ge=1)] = 2
    """Passwords hashed at the same time."""
    max_waiting: Annotated[int, Field(ge=1)] = 200
    """Passwords that are being hashed or wait for it, in each process; the next gets a 503."""
    min_length: Annotated[int, Field(ge=1, le=64)] = 8
    """The fewest characters of a new password. OWASP's ASVS 5.0 (6.2.1) requires at least 8 and recommends 15."""
