"""Errors of signing in and of passwords."""

from service.errors import Unauthorized, Unavailable, Unprocessable


class SignInRefused(Unauthorized):
    """The address is unknown, the password wrong or the user inactive; the message does not say which."""

    message = "Incorrect e-mail address or password"


class PasswordTooShort(Unprocessable):
    """A new password has too few characters."""


class TooManyPasswords(Unavailable):
    """Too many passwords are waiting to be hashed."""

    message = "Too many sign-ins in progress; try again shortly"
