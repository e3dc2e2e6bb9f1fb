"""Signing in, and the modes of authentication."""

from service.auth.caller import Caller
from service.auth.caller_cache import CallerCache
from service.auth.errors import SignInRefused
from service.auth.passwords import PasswordHasher
from service.auth.repository import AccountRepository
from service.auth.schemas import AccessToken, Credentials
from service.auth.tokens import Claims, Tokens
from service.errors import Unauthorized

_OPEN_CALLER = Caller(user_id=None, is_admin=True)


class AuthService:
    """Issues tokens for passwords."""

    def __init__(self, accounts: AccountRepository, passwords: PasswordHasher, tokens: Tokens) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._tokens = tokens

    async def sign_in(self, credentials: Credentials) -> AccessToken:
        """Return a token for a user. Raises `SignInRefused`, which takes the same time for every reason.

        If the stored hash is outdated, the password is hashed again.
        """
        account = await self._accounts.with_email(credentials.username)
        stored = account.password_hash if account is not None and account.is_active else None
        matches, renewed = await self._passwords.verify_and_update(credentials.password.get_secret_value(), stored)
        if account is None or not matches:
            raise SignInRefused
        if renewed is not None:
            await self._accounts.renew_hash(account, renewed)
        token = self._tokens.issue(Claims(sub=account.id, ver=account.token_version))
        return AccessToken(access_token=token, expires_in=self._tokens.seconds)


class TokenAuthentication:
    """Mode `token`: requests without a valid token are refused."""

    def __init__(self, callers: CallerCache, tokens: Tokens) -> None:
        self._callers = callers
        self._tokens = tokens

    async def identify(self, token: str | None) -> Caller:
        """Return the user of the token. Raises `Unauthorized`."""
        if token is None:
            raise Unauthorized
        caller = await self._callers.get(self._tokens.read(token))
        if caller is None:
            raise Unauthorized
        return caller


class OpenAuthentication(TokenAuthentication):
    """Mode `open`, for development: requests without a token come from an admin. `check_loopback` refuses other machines."""

    async def identify(self, token: str | None) -> Caller:
        """Return the user of the token, which must be valid; without a token, an admin without a user id."""
        if token is None:
            return _OPEN_CALLER
        return await super().identify(token)
