"""Signing in over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Form, Request

from service.access import PUBLIC
from service.auth.schemas import AccessToken, Credentials
from service.auth.service import AuthService
from service.injection import Provide, inject
from service.limits.attempts import AttemptLimiter
from service.problems import answers

router = APIRouter(tags=["access"])


@router.post("/token", summary="Sign in", responses=answers(401, 413, 429), dependencies=[PUBLIC])
@inject
async def sign_in(
    credentials: Annotated[Credentials, Form()],
    request: Request,
    limiter: AttemptLimiter = Provide["attempts"],
    auth: AuthService = Provide["auth_service"],
) -> AccessToken:
    """An access token for an e-mail address and its password. Changing the password ends all tokens given before."""
    await limiter.check("login", address=credentials.username, client=request.client and request.client.host)
    return await auth.sign_in(credentials)
