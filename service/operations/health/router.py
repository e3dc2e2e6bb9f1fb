"""Health over HTTP, for whoever supervises the service."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from service.auth.access import PUBLIC
from service.injection import Provide, inject
from service.operations.health.service import HealthService
from service.web.openapi import problem_responses

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    """That all is well."""

    status: Literal["ok"] = "ok"


@router.options("/live", name="live_by_options", summary="The same, as HAProxy asks", dependencies=[PUBLIC])
@router.get("/live", summary="Does the process live?", dependencies=[PUBLIC])
async def live() -> Health:
    """Always ok: it does no I/O. Restart the process when this does not answer."""
    return Health()


@router.options(
    "/ready",
    name="ready_by_options",
    summary="The same, as HAProxy asks",
    responses=problem_responses(503, validates=False),
    dependencies=[PUBLIC],
)
@router.get("/ready", summary="Can it work?", responses=problem_responses(503, validates=False), dependencies=[PUBLIC])
@inject
async def ready(health: HealthService = Provide["health_service"]) -> Health:
    """Asks the database. 503, with the reason, while it starts, drains, or has no database or too old a schema."""
    await health.check_ready()
    return Health()
