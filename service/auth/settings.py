"""How a caller is known, as it is configured."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

KEY_LENGTH = 32
"""Characters of a key for HMAC-SHA-256 at least (RFC 7518, 3.2: as long as the hash)."""
EXAMPLE_KEY = "an example key, for development and tests alone"
MAKE_A_KEY = "make one with `openssl rand -base64 32`"
_EXAMPLES = ("example", "changeme", "change-me", "change_me", "changethis", "secret", "password")
_LETTERS = 8
"""Different characters that a key has at least: a random one of 32 has more."""


class AuthSettings(BaseModel):
    """How a caller is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["token", "open"] | None = None
    """`open`: whoever has no token is an admin, on this machine alone. `None`: that in development and test, else `token`."""
    key: Annotated[SecretStr, Field(min_length=KEY_LENGTH)] = SecretStr(EXAMPLE_KEY)
    """Signs tokens. The example is refused outside development and test."""
    previous_key: Annotated[SecretStr, Field(min_length=KEY_LENGTH)] | None = None
    """Believed as well: what `key` was before, until the last token that it signed has expired."""
    issuer: str = "poolkeeper"
    audience: str = "poolkeeper"
    token_seconds: Annotated[int, Field(ge=1)] = 3600
    remember_seconds: Annotated[float, Field(ge=0, le=60)] = 0
    """How long a process believes what PostgreSQL said of a token's user; 0: it asks for each request.

    It saves each request a round trip. For so long a token that was ended elsewhere may still be good.
    """

    @property
    def keys(self) -> tuple[SecretStr, ...]:
        """The key that signs, and then the one that did."""
        return (self.key,) if self.previous_key is None else (self.key, self.previous_key)

    @property
    def has_own_key(self) -> bool:
        """Whether tokens are signed with another key than the example."""
        return self.key.get_secret_value() != EXAMPLE_KEY

    def check_for(self, environment: str) -> None:
        """Raises `ValueError` for what must not be where others than its developer call. A missing key is no mistake yet."""
        if self.mode == "open":
            raise ValueError(f"auth.mode: open is for development: {environment} needs token")
        if self.previous_key is not None and _is_guessable(self.previous_key.get_secret_value()):
            raise ValueError(f"auth.previous_key: looks like an example: {MAKE_A_KEY}")
        if self.has_own_key and _is_guessable(self.key.get_secret_value()):
            raise ValueError(f"auth.key: looks like an example: {MAKE_A_KEY}")


def _is_guessable(key: str) -> bool:
    """Whether a key is one of the examples that get copied, or has hardly any letters."""
    return any(word in key.lower() for word in _EXAMPLES) or len(set(key)) < _LETTERS


class PasswordSettings(BaseModel):
    """What a password's hash costs (argon2id). The defaults are OWASP's first recommendation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_kib: Annotated[int, Field(ge=8)] = 19 * 1024
    time_cost: Annotated[int, Field(ge=1)] = 2
    threads: Annotated[int, Field(ge=1)] = 2
    """How many passwords are hashed at once."""
    max_waiting: Annotated[int, Field(ge=1)] = 200
    """How many are hashed or wait for it at once, in each process; the next gets a 503."""
    min_length: Annotated[int, Field(ge=1, le=64)] = 8
    """Characters of a new password at least. Eight is the least that OWASP's ASVS 5.0 (6.2.1) allows; it advises 15."""
