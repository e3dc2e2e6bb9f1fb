"""A `def` endpoint, for libraries that block: it runs in a worker thread, in the request's scope.

uvicorn examples.def_endpoint:app
"""

import hashlib

from anyio import from_thread
from fastapi import APIRouter

from containers import Container
from service.app import create_app
from service.auth.access import SignedIn
from service.injection import Provide, inject
from service.users.service import UserService
from service.web.parameters import Id

router = APIRouter()


@router.get("/users/{user_id}/badge")
@inject
def read_badge(caller: SignedIn, user_id: Id, users: UserService = Provide["user_service"]) -> dict[str, str]:
    """Return a user's badge, which takes a while to compute.

    The pool belongs to the event loop, so coroutines are awaited there, each call in a separate task: begin and end a
    transaction within one call, in an `async` function of the service.
    """
    caller.require(user_id)
    user = from_thread.run(users.get, user_id)
    return {"email": user.email, "badge": hashlib.pbkdf2_hmac("sha256", user.email.encode(), b"badge", 200_000).hex()}


container = Container()
app = create_app(container)
app.include_router(router)
container.wire(modules=[__name__])
