"""The slow endpoint: open it in ten tabs at once, and watch that other requests stay fast and separate."""

import asyncio

from fastapi import APIRouter

from service.auth.access import SignedIn
from service.injection import Provide, inject
from service.operations.diagnostics.countdown import Countdown
from service.users.schemas import User
from service.users.service import UserService
from service.web.openapi import problem_responses
from service.web.parameters import Limit, Skip

router = APIRouter(tags=["diagnostics"])


@router.get("/slowusers/", summary="List users, slowly", responses=problem_responses(401, 403))
@inject
async def list_users_slowly(
    caller: SignedIn,
    skip: Skip = 0,
    limit: Limit = 100,
    countdown: Countdown = Provide["slow_countdown"],
    users: UserService = Provide["user_service"],
) -> list[User]:
    """List users after a wait: 10 s at first, one second less each time. It holds no connection while it waits."""
    caller.require_admin()
    await asyncio.sleep(countdown.next())
    return await users.list(skip, limit)
