"""SIGTERM and Ctrl-C while a program starts, or migrates: what is under way is cancelled, and the process ends by the signal."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

logger = logging.getLogger("service")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """While this is open, SIGTERM and SIGINT cancel the running task. It may clean up; then the process ends by that signal.

    uvicorn, which has handlers of its own, looks at what they noted only after the application has started. A second
    Ctrl-C ends the process at once; a second SIGTERM does not, as a worker may get one from its parent and one from its
    terminal. A signal that comes too late to interrupt anything goes to the handler that was there before. Outside the main
    thread, where no handler can be set, it does nothing.

    `what`: what is interrupted, for the log.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interruption = _Interruption(what)
    before = {number: signal.signal(number, interruption.receive) for number in _SIGNALS}
    for number in (noted := _noted(before[signal.SIGTERM])):
        interruption.receive(number, None)
    try:
        yield
    except BaseException:
        if interruption.received:
            _end_by(interruption.received[0])
        raise
    finally:
        interruption.is_over = True
        for number, handler in before.items():
            signal.signal(number, handler)
    for received in interruption.received[len(noted) :]:
        signal.raise_signal(received)


def _noted(handler: object) -> list[int]:
    """The first signal that came before: uvicorn has handlers from before it imports the application, and only notes it."""
    server = getattr(handler, "__self__", None)
    return [int(number) for number in getattr(server, "_captured_signals", ())[:1]]


class _Interruption:
    """The signals that came while one task ran."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self.received: list[int] = []
        self.is_over = False

    def receive(self, number: int, _: FrameType | None) -> None:
        """Cancel the task for the first signal, and end the process for a second Ctrl-C."""
        if number == signal.SIGINT and number in self.received:
            _end_by(number)
        self.received.append(number)
        if len(self.received) == 1:
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None and not self.is_over:
            logger.warning("%s interrupts %s", signal.Signals(self.received[0]).name, self._what)
            self._task.cancel()


def _end_by(number: int) -> NoReturn:
    """End the process as the signal does, which its parent sees; process 1 of a container ignores it, and exits."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)


def end_on_hangup(*_: object) -> None:
    """End the program as SIGTERM does where the program handles that, as uvicorn does, or else as Ctrl-C does: in order.

    Only the first hangup counts: the kernel and the shell both send one when a terminal closes, and a second Ctrl-C is force.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        if callable(signal.getsignal(number)):
            signal.raise_signal(number)
            return
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.raise_signal(signal.SIGHUP)


@contextmanager
def ends_on_hangup() -> Iterator[None]:
    """Until the end of the block, a terminal that closes does not end the program at once: the embedded server would run on.

    Where the program has a handler of its own, or ignores SIGHUP as under `nohup`, that stays.
    """
    is_default = signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    if not is_default or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGHUP, end_on_hangup)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
