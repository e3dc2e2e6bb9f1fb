"""What is remembered of tokens, so that a signature is checked once."""

from time import time

import pytest
from pydantic import SecretStr

from service.auth.tokens import Claims, Tokens
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
    assert tokens._checked.cache_info().currsize == 1
