"""Health over HTTP, for load balancers and supervisors."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from service.auth.access import PUBLIC
from service.injection import Provide, inject
from service.operations.health.service import HealthService
from service.web.openapi import problem_responses

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    """The result of a successful check."""

    status: Literal["ok"] = "ok"


@router.options("/live", name="live_by_options", summary="The same by OPTIONS, as HAProxy asks", dependencies=[PUBLIC])
@router.get("/live", summary="Is the process alive?", dependencies=[PUBLIC])
async def live() -> Health:
    """Return ok, without I/O. Restart the process if this does not answer."""
    return Health()


@router.options(
    "/ready",
    name="ready_by_options",
    summary="The same by OPTIONS, as HAProxy asks",
    responses=problem_responses(503, validates=False),
    dependencies=[PUBLIC],
)
@router.get(
    "/ready", summary="Is the service ready?", responses=problem_responses(503, validates=False), dependencies=[PUBLIC]
)
@inject
async def ready(health: HealthService = Provide["health_service"]) -> Health:
    """Ask the database. 503 with the reason while the service starts or drains, or if it has no database or an old schema."""
    await health.check_ready()
    return Health()
