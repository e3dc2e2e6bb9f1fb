"""Work after the response: it runs in the request's scope, and gets the services in the same way.

uvicorn examples.background_task:app
"""

import asyncio

from fastapi import APIRouter, BackgroundTasks

from containers import Container
from service.app import create_app
from service.auth.access import PUBLIC
from service.injection import Provide, inject
from service.items.schemas import NewItem
from service.items.service import ItemService
from service.users.schemas import NewUser, User
from service.users.service import UserService

router = APIRouter()


@inject
async def welcome(user_id: int, items: ItemService = Provide["item_service"]) -> None:
    await asyncio.sleep(1)  # the client does not wait for it, and no connection is held
    await items.create(user_id, NewItem(title="A welcome present"))


@router.post("/sign-up/", status_code=201, dependencies=[PUBLIC])
@inject
async def sign_up(new: NewUser, tasks: BackgroundTasks, users: UserService = Provide["user_service"]) -> User:
    user = await users.register(new)  # committed before the response, so the task finds the user
    tasks.add_task(welcome, user.id)
    return user


container = Container()
app = create_app(container)
app.include_router(router)
container.wire(modules=[__name__])
