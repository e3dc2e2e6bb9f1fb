"""Signing in over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Form

from service.access import PUBLIC
from service.auth.schemas import AccessToken, Credentials
from service.auth.service import AuthService
from service.injection import Provide, inject
from service.problems import answers

router = APIRouter(tags=["access"])


@router.post("/token", summary="Sign in", responses=answers(401, 413), dependencies=[PUBLIC])
@inject
async def sign_in(
    credentials: Annotated[Credentials, Form()], auth: AuthService = Provide["auth_service"]
) -> AccessToken:
    """An access token for an e-mail address and its password. Changing the password ends all tokens given before."""
    return await auth.sign_in(credentials)
