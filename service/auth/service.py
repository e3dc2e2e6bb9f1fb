"""Signing in, and who a token speaks for."""

from service.auth.caller import Caller
from service.auth.callers import Callers
from service.auth.errors import SignInRefused
from service.auth.passwords import PasswordHasher
from service.auth.repository import AccountRepository
from service.auth.schemas import AccessToken, Credentials
from service.auth.tokens import Claims, Tokens
from service.errors import Unauthorized

_NOBODY = Caller(user_id=None, is_admin=True)


class AuthService:
    """Gives tokens for passwords."""

    def __init__(self, accounts: AccountRepository, passwords: PasswordHasher, tokens: Tokens) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._tokens = tokens

    async def sign_in(self, credentials: Credentials) -> AccessToken:
        """A token for a user. Raises `SignInRefused`, after the same work whatever the reason is.

        A hash that was made with other parameters than those configured is made anew.
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
    """Mode `token`: whoever has no good token is refused."""

    def __init__(self, callers: Callers, tokens: Tokens) -> None:
        self._callers = callers
        self._tokens = tokens

    async def identify(self, token: str | None) -> Caller:
        """The user of the token. Raises `Unauthorized`."""
        if token is None:
            raise Unauthorized
        caller = await self._callers.of(self._tokens.read(token))
        if caller is None:
            raise Unauthorized
        return caller


class OpenAuthentication(TokenAuthentication):
    """Mode `open`, for development: whoever has no token is an admin. `check_loopback` keeps others out."""

    async def identify(self, token: str | None) -> Caller:
        """The user of the token, which must be good; without one, an admin that is no user."""
        if token is None:
            return _NOBODY
        return await super().identify(token)
