"""The service over real sockets, with each of its protocols."""

from collections.abc import Iterator

import pytest

from tests.support.echo import COMMANDS, Echo, echoing


@pytest.fixture(scope="module", params=COMMANDS)
def echo(request: pytest.FixtureRequest, server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """The service with a route that says what it got, in a process of its own."""
    with echoing(request.param, server_dsn, tmp_path_factory.mktemp("echo")) as server:
        yield server
