"""The wait of the slow endpoint."""


class Countdown:
    """Gives `seconds` at first, one less each time, and 0 in the end."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def next(self) -> float:
        """The wait in seconds for this call."""
        wait = self._left
        self._left = max(0.0, wait - 1)
        return wait
