"""Python's garbage collector while the service serves."""

import gc

import pytest

from service.web.server.gc import frozen_gc


def test_what_is_there_is_left_alone_until_the_end() -> None:
    """And the youngest are looked at less often; after it, even after an error, all is as before."""
    before = gc.get_threshold()
    with pytest.raises(KeyError), frozen_gc(enabled=True):
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] > before[0]
        raise KeyError
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_switched_off_it_does_nothing() -> None:
    """The collector works as Python has it."""
    before = gc.get_threshold()
    with frozen_gc(enabled=False):
        assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_cycles_made_meanwhile_are_still_collected() -> None:
    """Only what was there before is left alone."""
    with frozen_gc(enabled=True):
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
