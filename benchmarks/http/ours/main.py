"""The service's application with one more router, for uvicorn."""

from dependency_injector import providers

import containers
import service.app
from benchmarks.http.ours.repository import RecordRepository
from benchmarks.http.ours.router import router
from benchmarks.http.ours.service import RecordService


class Container(containers.Container):
    """The service's container with two more providers."""

    record_repository = providers.Factory(RecordRepository, containers.Container.connection)
    record_service = providers.Factory(RecordService, record_repository, containers.Container.connection)


service.app.ROUTERS = (*service.app.ROUTERS, router)
app = service.app.create_app(Container())
