"""Spellings of an e-mail address: which are one, and which are two."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.auth.addresses import address_key
from service.users.schemas import Email

EMAIL: TypeAdapter[str] = TypeAdapter(Email)
ASCII = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=254)
ANYTHING = st.text(max_size=254)
ADDRESSES = st.builds(
    lambda local, domain: f"{local}@{domain}.example.com",
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40),
    st.sampled_from(["a", "XN--BCHER-KVA", "bücher", "ＡＢＣ", "straße", "日本", "مثال", "νίκος"]),
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "ADA@Example.COM"),
        ("ada@example.com", " ada@example.com\n"),
        ("josé@example.com", "jose\u0301@example.com"),
        ("JOSÉ@example.com", "jose\u0301@EXAMPLE.com"),
        ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com"),
        ("ada@BÜCHER.example.com", "ada@XN--BCHER-KVA.example.com"),
        ("lin@example.com", "lin@\uff45xample\u3002com"),
        ("straße@example.com", "STRASSE@example.com"),
        ("stra\u1e9ee@example.com", "straße@example.com"),
        ("νίκος@example.com", "ΝΊΚΟΣ@example.com"),
        ("\u212aelvin@example.com", "kelvin@example.com"),
        ("\u1fb3@example.com", "\u0391\u0345@example.com"),
    ],
)
def test_two_spellings_are_one_address(one: str, other: str) -> None:
    """By case, by composition, by spaces around them, or by the way that the domain is written."""
    assert address_key(one) == address_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("billing@example.com", "b\u0130lling@example.com"),
        ("billing@example.com", "b\u0131lling@example.com"),
        ("ada@example.com", "\u0430da@example.com"),
        ("ada@example.com", "\uff41da@example.com"),
        ("ada@strasse.de", "ada@straße.de"),
        ("ada@example.com", "ada+tag@example.com"),
        ("ada.l@example.com", "adal@example.com"),
        ("jose@example.com", "josé@example.com"),
    ],
)
def test_two_addresses_stay_two(one: str, other: str) -> None:
    """Dotless and dotted i, characters that look alike, domains of two owners, tags, dots and accents."""
    assert address_key(one) != address_key(other)


@given(ASCII)
@example("postMASTER@Example.com")
@example("A@XN--a.com")
@example("a@XN--BCHER-KVA.example.com")
def test_the_key_of_ascii_is_that_in_lower_case(text: str) -> None:
    """PostgreSQL derives it so, and stores none."""
    assert address_key(text) == text.lower()


@given(ANYTHING | ADDRESSES)
@example("\ud800")
@example("user 7\0")
def test_every_text_has_a_key_which_is_its_own(text: str) -> None:
    """Whatever was typed: no error, and a key that was made once stays as it is."""
    key = address_key(text)
    assert address_key(key) == key


@given(ADDRESSES)
def test_what_is_stored_of_an_address_has_the_key_of_what_was_typed(typed: str) -> None:
    """Who registered with a spelling signs in with it, and with the one that the service shows."""
    try:
        stored = EMAIL.validate_python(typed)
    except ValidationError:
        return
    assert address_key(stored) == address_key(typed)
