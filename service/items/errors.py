"""Errors of items."""

from service.errors import NotFound


class ItemNotFound(NotFound):
    """There is no item with this id, or another user owns it; the message does not say which."""

    message = "Item not found"


class OwnerNotFound(NotFound):
    """The user who would own the item does not exist."""

    message = "User not found"
