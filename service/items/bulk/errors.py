"""What can go wrong with imports and exports."""

from collections.abc import Sequence

from service.errors import Unavailable


class TooManyAtOnce(Unavailable):
    """As many imports and exports run as may."""

    message = "No more imports and exports can run at the moment"


class TookTooLong(Unavailable):
    """An import or export ran past its limit, and was cut off."""


Mistake = tuple[str, str]
"""Where and what: `("title", "Field required")`; the place is empty for a whole line."""


class BadLines(ValueError):
    """Lines of an import are wrong. `mistakes` says where and what, as `("line 7.title", "Field required")`."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__(*mistakes)
        self.mistakes = mistakes
