"""Items over HTTP."""

from fastapi import APIRouter

from service.idempotency.header import Idempotent
from service.injection import Provide, inject
from service.items.schemas import Item, NewItem
from service.items.service import ItemService
from service.problems import answers
from service.types import Id, Limit, Skip

router = APIRouter(tags=["items"])


@router.post("/users/{user_id}/items/", status_code=201, summary="Give a user an item", responses=answers(404, 413))
@inject
async def create_item(
    user_id: Id, new: NewItem, attempt: Idempotent, items: ItemService = Provide["item_service"]
) -> Item:
    """Create an item that belongs to the user."""
    return await items.create(user_id, new, attempt)


@router.get("/items/", summary="List items", responses=answers())
@inject
async def list_items(skip: Skip = 0, limit: Limit = 100, items: ItemService = Provide["item_service"]) -> list[Item]:
    """Items of all users, in the order in which they were created."""
    return await items.list(skip, limit)
