"""The documentation page over HTTP. It loads nothing from other hosts, and its policy forbids it."""

import mimetypes
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.auth.access import PUBLIC, Public

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; "  # arrows and locks in Swagger UI's style sheet
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's policy in a browser: nothing inline, nothing from other hosts, no framing."""

mimetypes.add_type("text/javascript", ".js")  # the machine's own table may have a type that browsers refuse to run


class Assets(StaticFiles):
    """The page with its script, and Swagger UI from the package with its unmodified releases."""

    def __init__(self) -> None:
        super().__init__(directory=Path(__file__).parent / "static", packages=[("fastapi_swagger", "resources")])

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file. Browsers may cache it but have to revalidate it, so that a new version shows at once."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        answer.headers["Content-Security-Policy"] = POLICY
        return answer


assets = Assets()

router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])
router.mount("/docs/assets", Public(assets))


@router.get("/")
async def root() -> RedirectResponse:
    """Redirect browsers to the page."""
    return RedirectResponse("docs")


@router.get("/docs")
async def page(request: Request) -> Response:
    """Return the page. Requests that it tries out go to this service."""
    return await assets.get_response("page.html", request.scope)
