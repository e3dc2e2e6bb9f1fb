"""Errors of users."""

from service.errors import BadRequest, Conflict, NotFound


class UserNotFound(NotFound):
    """There is no user with this id."""

    message = "User not found"


class EmailTaken(BadRequest):
    """Another user has this e-mail address, in any spelling."""

    message = "Email already registered"


class WrongPassword(BadRequest):
    """The current password sent with a new one is wrong."""

    message = "The current password is not right"


class LastAdmin(Conflict):
    """The change would leave no active admin."""

    message = (
        "The last admin cannot be deleted or made inactive, as no user could undo it: "
        "first create another admin with `poolkeeper user create --admin`"
    )
