"""What can go wrong at signing in and with passwords."""

from service.errors import Unauthorized, Unavailable, Unprocessable


class SignInRefused(Unauthorized):
    """The address is unknown, or the password wrong, or the user inactive: which of them is not said."""

    message = "Incorrect e-mail address or password"


class PasswordTooShort(Unprocessable):
    """A new password has too few characters."""


class TooManyPasswords(Unavailable):
    """As many passwords wait to be hashed as may."""

    message = "Too many sign in or register at the moment"
