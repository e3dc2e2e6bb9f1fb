"""What can go wrong with users."""

from service.errors import BadRequest, Conflict, NotFound


class UserNotFound(NotFound):
    """There is no user with this id."""

    message = "User not found"


class EmailTaken(BadRequest):
    """Another user has this e-mail address, however it is spelt."""

    message = "Email already registered"


class WrongPassword(BadRequest):
    """The current password, asked for before it is changed, is another."""

    message = "The current password is not right"


class LastAdmin(Conflict):
    """The change would leave no active admin."""

    message = (
        "The last admin cannot be deleted or made inactive, as nobody could undo it: "
        "first create another with `poolkeeper user create --admin`"
    )
