"""Users over HTTP."""

from fastapi import APIRouter, Response

from service.auth.access import PUBLIC, SignedIn
from service.auth.ratelimit.limiter import AttemptLimiter
from service.idempotency.header import IdempotentForAll
from service.injection import Provide, inject
from service.users.errors import UserNotFound
from service.users.schemas import ChangedPassword, ChangedUser, Me, NewUser, User
from service.users.service import UserService
from service.web.openapi import problem_responses
from service.web.paging import Pages
from service.web.parameters import ClientAddress, Id
from service.web.representation import CHANGED, CONDITIONAL, CONDITIONAL_CHANGE, CREATED, READ, IfMatch, Represented

router = APIRouter(prefix="/users", tags=["users"])

_user_answer = Represented(User)
_me_answer = Represented(Me)


@router.post(
    "/",
    status_code=201,
    summary="Register",
    response_model=User,
    responses={**CREATED, **problem_responses(400, 413, 429)},
    dependencies=[PUBLIC],
)
@inject
async def create_user(
    new: NewUser,
    client: ClientAddress,
    response: Response,
    idempotent_request: IdempotentForAll,
    limiter: AttemptLimiter = Provide["attempts"],
    users: UserService = Provide["user_service"],
) -> Response:
    """Create a user. Each e-mail address can be registered once, in any spelling."""
    await limiter.check("register", address=new.email, client=client)
    user = await users.register(new, idempotent_request)
    return _user_answer.created(user, f"/users/{user.id}", response)


@router.get("/", summary="List users", responses=problem_responses(401, 403))
@inject
async def list_users(
    caller: SignedIn,
    paging: Pages,
    users: UserService = Provide["user_service"],
) -> list[User]:
    """List users with their items, in the order in which they registered. For admins."""
    caller.require_admin()
    return paging.page(await users.list(paging.skip, paging.limit, after=paging.after))


@router.get(
    "/me",
    summary="Read yourself",
    response_model=Me,
    responses={**READ, **problem_responses(401, 404)},
    openapi_extra=CONDITIONAL,
)
@inject
async def read_me(caller: SignedIn, users: UserService = Provide["user_service"]) -> Response:
    """Return the user who signed in, with its items and whether it is an admin. 404 in mode `open` without a token."""
    if caller.user_id is None:
        raise UserNotFound
    user = await users.get(caller.user_id)
    me = Me(user.id, user.email, user.is_active, user.items, caller.is_admin)
    return _me_answer(me)


@router.get(
    "/{user_id:id}",
    summary="Read a user",
    response_model=User,
    responses={**READ, **problem_responses(401, 403, 404)},
    openapi_extra=CONDITIONAL,
)
@inject
async def read_user(caller: SignedIn, user_id: Id, users: UserService = Provide["user_service"]) -> Response:
    """Return a user with its items. Its `ETag` changes when the user or an item changes."""
    caller.require(user_id)
    return _user_answer(await users.get(user_id))


@router.patch(
    "/{user_id:id}",
    summary="Change a user",
    response_model=User,
    responses={**CHANGED, **problem_responses(400, 401, 403, 404, 409, 412, 413, 429)},
    openapi_extra=CONDITIONAL_CHANGE,
)
@inject
async def change_user(
    caller: SignedIn,
    user_id: Id,
    change: ChangedUser,
    tags: IfMatch,
    client: ClientAddress,
    limiter: AttemptLimiter = Provide["attempts"],
    users: UserService = Provide["user_service"],
) -> Response:
    """Change the fields in the body. Only admins may make a user inactive, which ends all its tokens.

    Making the last active admin inactive is a 409. A new address counts as a registration for the rate limits, as it reveals
    as much about which addresses are registered.
    """
    caller.require(user_id)
    if change.is_active is not None:
        caller.require_admin()
    if change.email is not None:
        await limiter.check("register", address=change.email, client=client)
    return _user_answer(await users.change(user_id, change, tags=tags))


@router.put(
    "/{user_id:id}/password",
    status_code=204,
    summary="Change a password",
    responses=problem_responses(400, 401, 403, 404, 412, 413, 429),
    openapi_extra=CONDITIONAL_CHANGE,
)
@inject
async def change_password(
    caller: SignedIn,
    user_id: Id,
    change: ChangedPassword,
    tags: IfMatch,
    client: ClientAddress,
    limiter: AttemptLimiter = Provide["attempts"],
    users: UserService = Provide["user_service"],
) -> None:
    """Change a user's password and end all its tokens. Each request counts as an attempt to sign in."""
    caller.require(user_id)
    owner = f"user {user_id}\0"  # not an e-mail address: attempts to sign in cannot use up this user's attempts
    await limiter.check("login", address=owner, client=client)
    await users.change_password(caller, user_id, change, tags=tags)


@router.delete(
    "/{user_id:id}",
    status_code=204,
    summary="Delete a user",
    responses=problem_responses(400, 401, 403, 404, 409, 412),
    openapi_extra=CONDITIONAL_CHANGE,
)
@inject
async def delete_user(
    caller: SignedIn, user_id: Id, tags: IfMatch, users: UserService = Provide["user_service"]
) -> None:
    """Delete a user and all its items together. 409 for the last active admin."""
    caller.require(user_id)
    await users.delete(user_id, tags=tags)
