"""Python's garbage collector in a process that serves."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_FIRST_THRESHOLD = 20_000
"""So many more objects made than freed before the youngest are looked at; Python's own 700 are there after a few requests."""


@contextmanager
def frozen_gc(*, enabled: bool) -> Iterator[None]:
    """Until the end of the block the collector leaves alone what is there now, and looks less often at what comes after.

    What is there now are modules, routes and models, some 200,000 objects that live as long as the process. To look at
    all of them again and again finds nothing, and every request that happens to be under way waits for it.
    """
    if not enabled:
        yield
        return
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_FIRST_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
