"""Loads asyncpg's test modules on the adapter, and runs them."""

import importlib.util
import unittest
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

from asyncpg import _testbase

from tests.asyncpg_suite.adapter import OnScopedConnection

SECONDS = 120
"""For one test, before it counts as failed."""
PATIENCE = 10
"""Seconds in place of asyncpg's half, after which its tests of timeouts say that it took too long: a machine may be busy."""


@dataclass(frozen=True)
class Report:
    """What came of the tests: their names, and for those that failed in a scope and in a session the last traceback."""

    in_scope: frozenset[str]
    in_session: frozenset[str]
    failed: Mapping[str, str]


class Outcomes(unittest.TestResult):
    """For each test its traceback, or an empty text; without those that asyncpg skips here."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's
        """Passed, unless something else comes."""
        super().startTest(test)
        self.of[test.id()] = ""

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        """Not run."""
        super().addSkip(test, reason)
        self.of.pop(test.id(), None)

    def stopTestRun(self) -> None:  # noqa: N802
        """Collect what failed."""
        for test, trace in [*self.failures, *self.errors]:
            self.of[getattr(test, "test_case", test).id()] = trace


def run(modules: Iterable[Path], dsn: str, last: Container[str]) -> Report:
    """Run the test cases that have a connection of their own: in a scope, and those that fail there in a session.

    `last`: those that leave something behind when they fail, as asyncpg's tests share an event loop.
    """
    OnScopedConnection.dsn = dsn
    with (
        mock.patch.object(_testbase, "ConnectedTestCase", OnScopedConnection),
        mock.patch.object(_testbase.TestCaseMeta, "TEST_TIMEOUT", SECONDS),
    ):
        suite = [test for path in modules for test in _tests(_load(path))]
        scope = _outcomes(suite, in_session=False)
        again = [test for test in suite if scope.get(test.id())]
        session = _outcomes(sorted(again, key=lambda test: test.id() in last), in_session=True)
    return Report(
        in_scope=frozenset(name for name, trace in scope.items() if not trace),
        in_session=frozenset(name for name, trace in session.items() if not trace),
        failed={name: trace for name, trace in session.items() if trace},
    )


def _outcomes(tests: Iterable[unittest.TestCase], *, in_session: bool) -> dict[str, str]:
    OnScopedConnection.in_session = in_session
    outcomes = Outcomes()
    unittest.TestSuite(type(test)(test._testMethodName) for test in tests).run(outcomes)
    outcomes.stopTestRun()
    return outcomes.of


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, "MAX_RUNTIME"):
        vars(module)["MAX_RUNTIME"] = PATIENCE
    return module


def _tests(module: ModuleType) -> Iterator[unittest.TestCase]:
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, OnScopedConnection):
            for name in unittest.TestLoader().getTestCaseNames(kind):
                yield kind(name)
