"""Access tokens: JSON Web Tokens, signed with HMAC-SHA-256."""

from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from time import time
from typing import Annotated

import jwt
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from service.errors import Unauthorized
from service.web.input import BIGINT_MAX

CLOCK_TOLERANCE = timedelta(seconds=2)
"""The greatest difference between a machine's clock and the database server's that passes `poolkeeper check`."""
_LEEWAY = 2 * CLOCK_TOLERANCE
"""How far in the future a token may be issued: the greatest difference between two machines that pass the check."""
_ALGORITHM = "HS256"
_MAX_VERIFIED = 10_000
"""Verified tokens in the cache, each in less than a kilobyte. To verify one takes 57 us."""


class Claims(BaseModel):
    """The claims of one token: its user's id, and the version of that user's tokens."""

    model_config = ConfigDict(frozen=True)

    sub: Annotated[int, Field(ge=1, le=BIGINT_MAX)]
    ver: Annotated[int, Field(ge=0, lt=2**31)]


class Tokens:
    """Issues and reads tokens.

    `key` signs, and tokens signed by `previous_key` are still accepted, so that a change of keys signs no user out. A
    token's header has the id of its key, which is made from the key itself.
    """

    def __init__(
        self, *, key: SecretStr, previous_key: SecretStr | None, issuer: str, audience: str, seconds: int
    ) -> None:
        keys = [known.get_secret_value() for known in (key, previous_key) if known is not None]
        self.seconds = seconds
        self._keys = {_key_id(known): known for known in keys}
        self._key_id = _key_id(keys[0])
        self._issuer = issuer
        self._audience = audience
        self._verified = lru_cache(_MAX_VERIFIED)(self._verify)

    def issue(self, claims: Claims) -> str:
        """Return a token that is valid from now."""
        now = int(time())
        payload = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(claims.sub),
            "ver": claims.ver,
            "iat": now,
            "exp": now + self.seconds,
        }
        return jwt.encode(payload, self._keys[self._key_id], _ALGORITHM, headers={"kid": self._key_id})

    def read(self, token: str) -> Claims:
        """Return a token's claims. Raises `Unauthorized` for one of another issuer or audience, altered or expired.

        A token from a machine with a clock that is ahead is valid at once. It expires by the clock of the machine that reads it,
        without leeway: no token lives longer because another machine reads it.
        """
        claims, expires_at = self._verified(token)
        if expires_at <= time():
            raise Unauthorized
        return claims

    def _verify(self, token: str) -> tuple[Claims, int]:
        """Return a token's claims and expiry, which do not change with time. A refused token is not cached."""
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            payload = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY,
                options={"require": ["exp", "iat", "sub", "ver"]},
            )
            return Claims.model_validate(payload), int(payload["exp"])
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise Unauthorized from error


def _key_id(key: str) -> str:
    return sha256(b"key id of " + key.encode()).hexdigest()[:16]
