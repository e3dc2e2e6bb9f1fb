"""The wait of the slow endpoint."""

from service.operations.diagnostics.settings import DiagnosticsSettings


class Countdown:
    """Counts down from `slow_seconds` to 0, one second less at each call."""

    def __init__(self, settings: DiagnosticsSettings) -> None:
        self._left = settings.slow_seconds

    def next(self) -> float:
        """Return the wait for this call, in seconds."""
        wait = self._left
        self._left = max(0.0, wait - 1)
        return wait
