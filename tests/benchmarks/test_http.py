"""The benchmark over HTTP: how it reads what it sees, and that the service still answers what is measured."""

import asyncio
from collections import defaultdict
from xml.etree import ElementTree as ET

import pytest

from benchmarks.harness.load import NoLoad, Sample, figures, find_wrk, parsed
from benchmarks.harness.machine import Processors
from benchmarks.harness.records import prepare
from benchmarks.harness.running import running
from benchmarks.http import pgbench
from benchmarks.http.contenders import CONTENDERS, ONE, OURS, OURS_WITH_TOKENS, QUICK, TITLES, asked
from benchmarks.http.report import page, pictures, targets
from benchmarks.http.run import FULL, Results
from benchmarks.http.targets import TARGETS

OUTPUT = """\
Running 1s test @ http://127.0.0.1:1
  Non-2xx or 3xx responses: 100
RESULT {"seconds": 2.0, "requests": 1100, "refused": 100, "failed": 3, "p50": 1.5, "p99": 9.0}
"""


def _results() -> Results:
    """A run in which the service is twice as fast as everybody else at everything, with tokens as fast."""
    samples: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for work in TITLES:
        for contender in CONTENDERS:
            rates = (2000.0, 1800.0, 2100.0) if contender == OURS else (1000.0, 900.0, 1050.0)
            samples[work, contender.name] = [Sample(rate, 1.5, 9.0, processor=100.0) for rate in rates]
    return Results(samples, {"ours": 1.0, "asyncpg": 10.0}, 2.1)


def test_without_wrk_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started, and the Debian package is named."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoLoad, match="apt-get install wrk"):
        find_wrk()


def test_output_without_a_result_is_shown() -> None:
    """What wrk complained about is in the message."""
    with pytest.raises(NoLoad, match="unable to connect"):
        parsed("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_only_good_answers_count() -> None:
    """Refusals are no part of the rate."""
    assert parsed(OUTPUT) == Sample(rate=500.0, p50=1.5, p99=9.0, refused=100, failed=3)


def test_figures_are_medians_with_a_spread() -> None:
    """One bad round moves the spread, not the figures; a contender that answers nothing has none."""
    seen = figures([Sample(100.0, 1.0, 2.0), Sample(50.0, 9.0, 90.0, refused=2), Sample(110.0, 1.2, 2.2)])
    assert (seen.rate, seen.p50, seen.p99, seen.spread, seen.refused) == (100.0, 1.2, 2.2, 0.6, 2)
    assert figures([Sample(0.0, 0.0, 0.0)]).spread == 0.0


def test_pgbench_is_read_from_its_log() -> None:
    """A transaction a line; its third field is in microseconds."""
    sample = pgbench.parsed([f"0 {number} {number * 1000} 0 1 1" for number in range(1, 101)], seconds=2)
    assert sample.rate == 50.0
    assert sample.p50 == pytest.approx(50.5)
    assert sample.p99 == pytest.approx(99.99)


def test_a_target_is_said_to_be_met_or_not() -> None:
    """For each mode, from the medians: twice as fast is enough for some, and as fast as the others for few."""
    table = targets(_results()).splitlines()
    assert (
        "| one row by id | global pool, hand-written | 1.80 x | 2.00 x, met | 1.00 x, **not met** | 1.00 x, **not met** |"
        in table
    )
    assert (
        "| one row by id | SQLAlchemy async session | 8.00 x | 2.00 x, **not met** | 1.00 x, **not met** | 1.00 x, **not met** |"
        in table
    )
    assert any("| 1/8 | 1/10, met | 1/10, met | 1/10, met |" in line for line in table)
    assert len(table) == 2 + len(TARGETS)


def test_a_target_without_a_measurement_is_said_to_be_open() -> None:
    """A part of a run makes no claims about the rest."""
    assert targets(Results()).count("| not measured | not measured | not measured |") == len(TARGETS)


def test_a_quick_run_measures_what_the_targets_need() -> None:
    """No target is left open by it."""
    results = _results()
    results.samples = {
        (work, contender.name): [Sample(1.0, 1.0, 1.0)]
        for work in TITLES
        for contender in CONTENDERS
        if contender.name in QUICK.get({"awake": "sleepers", "peak": "overload"}.get(work, work), ())
    }
    assert "not measured" not in targets(results)


def test_the_page_has_a_row_for_each_contender_and_a_picture_for_each_kind_of_work() -> None:
    """Pictures are well-formed, and the page shows each of them; two limits are too long for them."""
    results = _results()
    text = page(results, FULL, "18.4", versions="of a test")
    drawn = pictures(results)
    assert drawn.keys() == TITLES.keys()
    for work, picture in drawn.items():
        assert f"(benchmarks/{work}.svg)" in text
        assert len(ET.fromstring(picture).findall("{http://www.w3.org/2000/svg}line")) == len(CONTENDERS) - 2
    assert "| Litestar, asyncpg | 1,000 | 15% | 1.5 | 9.0 | 100 | 2.00 x | for each statement or transaction |" in text
    assert "| *pgbench, no HTTP* |" in text
    assert {contender.name for contender in asked(ONE, quick=False)} == {contender.name for contender in CONTENDERS}


async def test_the_service_answers_to_the_byte_what_the_peers_are_compared_by(clone_dsn: str) -> None:
    """In both modes, as processes of their own."""
    await prepare(clone_dsn)

    def check() -> None:
        with running([OURS, OURS_WITH_TOKENS], clone_dsn, Processors(), pool=2) as up:
            for each in up.values():
                each.check()
            up[OURS_WITH_TOKENS.name].token = ""
            assert up[OURS_WITH_TOKENS.name].ask("GET", "/records/7")[0] == 401

    await asyncio.to_thread(check)
