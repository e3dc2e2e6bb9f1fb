"""The documentation page over HTTP. Nothing on it comes from elsewhere, and its policy lets nothing else in."""

import mimetypes
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.auth.access import PUBLIC, Public

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; "  # the arrows and locks in Swagger UI's style sheet
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do in a browser: nothing inline, nothing from elsewhere, in nobody's frame."""

mimetypes.add_type("text/javascript", ".js")  # a machine's own table may say what no browser runs


class Assets(StaticFiles):
    """The page with its script, and Swagger UI from the package that carries its releases as they are."""

    def __init__(self) -> None:
        super().__init__(directory=Path(__file__).parent / "static", packages=[("fastapi_swagger", "resources")])

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file. A browser may keep it, and asks each time whether it is still the same: a new version shows at once."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        answer.headers["Content-Security-Policy"] = POLICY
        return answer


assets = Assets()

router = APIRouter(include_in_schema=False, dependencies=[PUBLIC])
router.mount("/docs/assets", Public(assets))


@router.get("/")
async def root() -> RedirectResponse:
    """Whoever opens the service in a browser lands on the page."""
    return RedirectResponse("docs")


@router.get("/docs")
async def page(request: Request) -> Response:
    """The page. What is tried out on it goes to the service that it came from."""
    return await assets.get_response("page.html", request.scope)
