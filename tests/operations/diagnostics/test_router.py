"""The slow endpoint: many at once hold no connection, and nothing else gets slow."""

import asyncio
import re

import pytest
from httpx import AsyncClient

from containers import Container
from service.app import create_app
from service.operations.diagnostics.countdown import Countdown
from service.operations.diagnostics.settings import DiagnosticsSettings
from tests.conftest import _opened
from tests.database.helpers import until
from tests.support.clients import client_of


@pytest.fixture
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOLKEEPER_DIAGNOSTICS__ENABLED", "true")
    monkeypatch.setenv("POOLKEEPER_DATABASE__MIN_SIZE", "2")
    monkeypatch.setenv("POOLKEEPER_DATABASE__MAX_SIZE", "2")


def test_the_wait_is_ten_seconds_at_first_and_then_less() -> None:
    """10, 9, ... 1, 0, 0."""
    countdown = Countdown(DiagnosticsSettings(slow_seconds=10))
    assert [countdown.next() for _ in range(13)] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]


async def test_it_is_not_there_unless_diagnostics_are_enabled(client: AsyncClient) -> None:
    """404, and not documented."""
    assert (await client.get("/slowusers/")).status_code == 404
    assert "/slowusers/" not in (await client.get("/openapi.json")).text


@pytest.mark.usefixtures("_slow")
async def test_fifty_slow_requests_leave_everything_else_as_quick(
    clone_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a pool of two, fifty sleepers hold no connection: `/users/` answers at once, and they all get their answer."""
    monkeypatch.setenv("DATABASE_URL", clone_dsn)
    container, countdown = Container(), _Always(DiagnosticsSettings(slow_seconds=5))
    async for _ in _opened(container):
        async with client_of(container) as client:
            await client.get("/users/")
            container.slow_countdown.override(countdown)
            slow = [asyncio.create_task(client.get("/slowusers/")) for _ in range(50)]
            await until(lambda: countdown.asked == 50)
            assert container.database().stats().leased == 0
            for _ in range(20):
                assert (await client.get("/users/")).status_code == 200
            assert not any(task.done() for task in slow), "they would still be asleep"
            assert [answer.json() for answer in await asyncio.gather(*slow)] == [[]] * 50


class _Always(Countdown):
    asked = 0

    def next(self) -> float:
        self.asked += 1
        return self._left


@pytest.mark.usefixtures("_slow")
async def test_server_timing_says_what_a_request_cost(container: Container) -> None:
    """Statements, and milliseconds of waiting, of holding a connection and in all, as a browser reads them."""
    async with client_of(container) as client:
        timing = (await client.get("/users/")).headers["server-timing"]
    found = re.fullmatch(r'statements;desc="1", wait;dur=([\d.]+), hold;dur=([\d.]+), total;dur=([\d.]+)', timing)
    assert found is not None, timing
    wait, hold, total = map(float, found.groups())
    assert 0 < hold <= total
    assert 0 <= wait <= total


async def test_server_timing_is_not_there_unless_diagnostics_are_enabled(client: AsyncClient) -> None:
    """Strangers are not told."""
    assert "server-timing" not in (await client.get("/users/")).headers


@pytest.mark.usefixtures("_slow")
async def test_it_is_documented_where_it_is_enabled(container: Container) -> None:
    """As `/users/`, in OpenAPI too."""
    assert "/slowusers/" in create_app(container).openapi()["paths"]
