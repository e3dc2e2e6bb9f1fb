"""What is remembered of tokens, so that a signature is checked once."""

from time import time

import pytest
from pydantic import SecretStr

from service.auth.tokens import CLOCK_TOLERANCE, Claims, Tokens
from service.errors import Unauthorized

CLAIMS = Claims(sub=7, ver=0)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(key=SecretStr("k" * 32), previous_key=None, issuer="us", audience="you", seconds=900)


def test_a_token_expires_although_it_was_good_before(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens.issue(CLAIMS)
    assert tokens.read(token) == CLAIMS
    monkeypatch.setattr("service.auth.tokens.time", lambda: time() + 899)
    assert tokens.read(token) == CLAIMS
    monkeypatch.setattr("service.auth.tokens.time", lambda: time() + 901)
    with pytest.raises(Unauthorized):
        tokens.read(token)


def test_bad_tokens_are_not_remembered(tokens: Tokens) -> None:
    """Whoever sends thousands of them takes no memory with it, and does not drive out the good ones."""
    good = tokens.issue(CLAIMS)
    tokens.read(good)
    for number in range(100):
        with pytest.raises(Unauthorized):
            tokens.read(f"{good}{number}")
    assert tokens._verified.cache_info().currsize == 1


@pytest.mark.parametrize("seconds", [0.5, 2, 4])
def test_a_token_of_a_clock_that_is_ahead_is_good_at_once(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """By as much as two machines may differ that both pass `poolkeeper check`: one ahead of the server, one behind it."""
    assert 2 * CLOCK_TOLERANCE.total_seconds() == 4
    with monkeypatch.context() as there:
        there.setattr("service.auth.tokens.time", lambda: time() + seconds)
        token = tokens.issue(CLAIMS)
    assert tokens.read(token) == CLAIMS


def test_a_token_of_the_future_is_refused(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is ahead by more than that does not pass the check."""
    with monkeypatch.context() as there:
        there.setattr("service.auth.tokens.time", lambda: time() + 6)
        token = tokens.issue(CLAIMS)
    with pytest.raises(Unauthorized):
        tokens.read(token)


@pytest.mark.parametrize("was_read_before", [True, False])
def test_no_token_lives_longer_for_the_leeway(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch, was_read_before: bool
) -> None:
    """It is refused in the second in which it expires."""
    with monkeypatch.context() as then:
        then.setattr("service.auth.tokens.time", lambda: time() - 900)
        token = tokens.issue(CLAIMS)
        if was_read_before:
            then.setattr("service.auth.tokens.time", lambda: time() - 10)
            assert tokens.read(token) == CLAIMS
    with pytest.raises(Unauthorized):
        tokens.read(token)
