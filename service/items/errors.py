"""What can go wrong with items."""

from service.errors import NotFound


class ItemNotFound(NotFound):
    """There is no item with this id, or it is somebody else's: which of both is not said."""

    message = "Item not found"


class OwnerNotFound(NotFound):
    """The user whom the item is for does not exist."""

    message = "User not found"
