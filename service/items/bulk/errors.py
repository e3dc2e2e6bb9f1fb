"""Errors of imports and exports."""

from collections.abc import Sequence

from service.errors import Unavailable


class TooManyAtOnce(Unavailable):
    """All slots for imports and exports are taken."""

    message = "Too many imports and exports in progress; try again shortly"


class TookTooLong(Unavailable):
    """An import or export ran past its time limit and was cut off."""


Mistake = tuple[str, str]
"""A place and a message, as `("title", "Field required")`; the place of a whole line is empty."""


class BadLines(ValueError):
    """Lines of an import are wrong. `mistakes` has places and messages, as `("line 7.title", "Field required")`."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__(*mistakes)
        self.mistakes = mistakes
