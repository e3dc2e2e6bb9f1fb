"""Signing in over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request

from service.auth.access import PUBLIC
from service.auth.ratelimit.limiter import AttemptLimiter
from service.auth.schemas import AccessToken, Credentials
from service.auth.service import AuthService
from service.errors import Unprocessable
from service.injection import Provide, inject
from service.web.openapi import problem_responses
from service.web.parameters import ClientAddress

router = APIRouter(tags=["access"])


_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


async def _is_one_form(request: Request) -> None:
    """Refuse other media types, which FastAPI takes for an empty form, and repeated fields (RFC 6749, 3.2)."""
    media_type = request.headers.get("content-type", _FORMS[0]).partition(";")[0].strip().lower()
    if media_type not in _FORMS:
        raise HTTPException(415, f"body: must be a form, sent as {_FORMS[0]}", {"Accept": ", ".join(_FORMS)})
    form = await request.form()
    for field in Credentials.model_fields:
        if len(form.getlist(field)) > 1:
            raise Unprocessable(f"body.{field}: was sent more than once")


@router.post(
    "/token",
    summary="Sign in",
    responses=problem_responses(401, 413, 429),
    dependencies=[PUBLIC, Depends(_is_one_form)],
)
@inject
async def sign_in(
    credentials: Annotated[Credentials, Form()],
    client: ClientAddress,
    limiter: AttemptLimiter = Provide["attempts"],
    auth: AuthService = Provide["auth_service"],
) -> AccessToken:
    """Return an access token for an e-mail address and its password. A change of the password ends all earlier tokens."""
    await limiter.check("login", address=credentials.username, client=client)
    return await auth.sign_in(credentials)
