"""Items over HTTP."""

from fastapi import APIRouter, Response

from service.auth.access import SignedIn
from service.idempotency.header import Idempotent
from service.injection import Provide, inject
from service.items.bulk.router import router as bulk_router
from service.items.schemas import ChangedItem, Item, NewItem
from service.items.service import ItemService
from service.web.openapi import problem_responses
from service.web.paging import Pages
from service.web.parameters import Id, register_id
from service.web.representation import CHANGED, CONDITIONAL, CONDITIONAL_CHANGE, CREATED, READ, IfMatch, Represented

register_id("item", "export")
router = APIRouter(tags=["items"])
router.include_router(bulk_router)

_item_answer = Represented(Item)


@router.post(
    "/users/{user_id:id}/items/",
    status_code=201,
    summary="Create an item",
    response_model=Item,
    responses={**CREATED, **problem_responses(401, 403, 404, 413)},
)
@inject
async def create_item(
    caller: SignedIn,
    user_id: Id,
    new: NewItem,
    response: Response,
    idempotent_request: Idempotent,
    items: ItemService = Provide["item_service"],
) -> Response:
    """Create an item that belongs to the user."""
    caller.require(user_id)
    item = await items.create(user_id, new, idempotent_request)
    return _item_answer.created(item, f"/items/{item.id}", response)


@router.get("/users/{user_id:id}/items/", summary="List a user's items", responses=problem_responses(401, 403, 404))
@inject
async def list_items_of_user(
    caller: SignedIn,
    user_id: Id,
    paging: Pages,
    items: ItemService = Provide["item_service"],
) -> list[Item]:
    """List the items of one user, in the order in which they were created."""
    caller.require(user_id)
    return paging.page(await items.list_of(user_id, paging.skip, paging.limit, after=paging.after))


@router.get("/items/", summary="List items", responses=problem_responses(401))
@inject
async def list_items(
    caller: SignedIn,
    paging: Pages,
    items: ItemService = Provide["item_service"],
) -> list[Item]:
    """List items in the order in which they were created: all for admins, your own for other users."""
    return paging.page(await items.list(paging.skip, paging.limit, after=paging.after, owner_id=caller.owner_id))


@router.get(
    "/items/{item_id:item}",
    summary="Read an item",
    response_model=Item,
    responses={**READ, **problem_responses(401, 404)},
    openapi_extra=CONDITIONAL,
)
@inject
async def read_item(caller: SignedIn, item_id: Id, items: ItemService = Provide["item_service"]) -> Response:
    """Return an item. An item of another user is not found."""
    return _item_answer(await items.get(item_id, owner_id=caller.owner_id))


@router.patch(
    "/items/{item_id:item}",
    summary="Change an item",
    response_model=Item,
    responses={**CHANGED, **problem_responses(401, 404, 412, 413)},
    openapi_extra=CONDITIONAL_CHANGE,
)
@inject
async def change_item(
    caller: SignedIn,
    item_id: Id,
    change: ChangedItem,
    tags: IfMatch,
    items: ItemService = Provide["item_service"],
) -> Response:
    """Change the fields in the body. An item of another user is not found."""
    item = await items.change(item_id, change, owner_id=caller.owner_id, tags=tags)
    return _item_answer(item)


@router.delete(
    "/items/{item_id:item}",
    status_code=204,
    summary="Delete an item",
    responses=problem_responses(400, 401, 404, 412),
    openapi_extra=CONDITIONAL_CHANGE,
)
@inject
async def delete_item(
    caller: SignedIn, item_id: Id, tags: IfMatch, items: ItemService = Provide["item_service"]
) -> None:
    """Delete an item. An item of another user is not found."""
    await items.delete(item_id, owner_id=caller.owner_id, tags=tags)
