"""Users over HTTP."""

from fastapi import APIRouter, Request

from service.idempotency.header import Idempotent
from service.injection import Provide, inject
from service.problems import answers
from service.ratelimit.attempts import AttemptLimiter
from service.types import Id, Limit, Skip
from service.users.schemas import NewUser, User
from service.users.service import UserService

router = APIRouter(prefix="/users", tags=["users"])


@router.post("/", status_code=201, summary="Register", responses=answers(400, 413, 429))
@inject
async def create_user(
    new: NewUser,
    request: Request,
    attempt: Idempotent,
    limiter: AttemptLimiter = Provide["attempts"],
    users: UserService = Provide["user_service"],
) -> User:
    """Create a user. An e-mail address can be registered once, in whatever case it is written."""
    await limiter.check("register", address=new.email, client=request.client and request.client.host)
    return await users.register(new, attempt)


@router.get("/", summary="List users", responses=answers())
@inject
async def list_users(skip: Skip = 0, limit: Limit = 100, users: UserService = Provide["user_service"]) -> list[User]:
    """Users with their items, in the order in which they registered."""
    return await users.list(skip, limit)


@router.get("/{user_id}", summary="Read a user", responses=answers(404))
@inject
async def read_user(user_id: Id, users: UserService = Provide["user_service"]) -> User:
    """One user with its items."""
    return await users.get(user_id)
