"""SIGTERM and Ctrl-C while a program starts or migrates: they cancel its task, and the process ends by the signal."""

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
    """Let SIGTERM and SIGINT cancel the task that runs the block. It may clean up; then the process ends by that signal.

    uvicorn has its own handlers, but acts on them only after the application has started. A second Ctrl-C ends the process
    at once; a second SIGTERM does not, as a worker may get one from its parent and one from its terminal. A signal that
    comes too late to interrupt the block goes to the previous handler. Outside the main thread, where handlers cannot be
    set, it does nothing.

    Args:
        what: The name of the block, for the log.
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
    """Return the first earlier signal. uvicorn sets its handlers before it imports the application, and only notes signals."""
    server = getattr(handler, "__self__", None)
    return [int(number) for number in getattr(server, "_captured_signals", ())[:1]]


class _Interruption:
    """The signals that arrive while a task runs."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self.received: list[int] = []
        self.is_over = False

    def receive(self, number: int, _: FrameType | None) -> None:
        """Cancel the task at the first signal; end the process at a second Ctrl-C."""
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
    """End the process by the signal, so that its parent sees it. Process 1 of a container ignores signals, and exits."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)


def end_on_hangup(*_: object) -> None:
    """End the program in order, by the handler of SIGTERM if there is one, as in uvicorn, otherwise by that of Ctrl-C.

    Only the first hangup counts: the kernel and the shell both send one when a terminal closes, and a second Ctrl-C would
    end the program by force.
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
    """End the program in order if its terminal closes in the block. Otherwise the embedded server would keep running.

    A handler that the program has set stays, and so does SIGHUP being ignored, as under `nohup`.
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
