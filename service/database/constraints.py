"""Maps violated constraints to errors of the program."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from asyncpg import IntegrityConstraintViolationError


@contextmanager
def constraint_errors(errors: Mapping[str, type[Exception]]) -> Iterator[None]:
    """Raise an error of the program when a statement in the block violates a constraint.

    The driver's error is its cause. A constraint that is not in `errors` raises the driver's error itself.

    Args:
        errors: The error of each constraint, by the constraint's name: `{"users_email_key": EmailTaken}`.
    """
    try:
        yield
    except IntegrityConstraintViolationError as error:
        named = errors.get(error.constraint_name or "")
        if named is None:
            raise
        raise named from error
