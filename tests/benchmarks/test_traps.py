"""The service in each of the traps, so that the scoreboard stays true. The peers need packages that are not here."""

import pytest

from benchmarks.traps.pattern import load
from benchmarks.traps.report import markdown
from benchmarks.traps.runner import Result, attempt
from benchmarks.traps.scenarios import SCENARIOS, Scenario, connections


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_poolkeeper_holds(scenario: Scenario, server_dsn: str) -> None:
    """No trap catches the service."""
    assert attempt(load("poolkeeper"), scenario, server_dsn, patience=10) == Result("holds")


def test_a_trap_catches_a_pattern_that_falls_into_it(server_dsn: str) -> None:
    """A connection for a whole request breaks under `gather`, and the table has the driver's own words for it."""
    pattern = load("yield_dependency")
    result = attempt(pattern, connections.gather, server_dsn)
    assert result.verdict == "breaks"
    assert "another operation is in progress" in result.words
    page = markdown({pattern: [result]}, [connections.gather], "18.4")
    assert "**breaks**" in page
    assert "0 of 1" in page
    assert "another operation is in progress" in page
