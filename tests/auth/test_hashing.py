"""Password hashes: argon2id, and never on the event loop."""

import asyncio
import threading

import pytest

from service.auth.errors import PasswordTooShort, TooManyPasswords
from service.auth.passwords import PasswordHasher, normalized
from service.auth.settings import PasswordSettings


@pytest.fixture
def hasher() -> PasswordHasher:
    """A hasher that is as quick as argon2 allows, with two threads."""
    return PasswordHasher(PasswordSettings(memory_kib=8, time_cost=1, threads=2, min_length=1))


async def test_a_hash_fits_its_password_alone(hasher: PasswordHasher) -> None:
    """Two hashes of one password differ, and both fit it."""
    first, second = await hasher.hash("correct horse"), await hasher.hash("correct horse")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await hasher.verify("correct horse", first)
    assert await hasher.verify("correct horse", second)
    assert not await hasher.verify("Correct horse", first)


async def test_hashing_leaves_the_event_loop_free() -> None:
    """While hashes of a second are made, the loop goes on; and there are never more at once than threads."""
    others = set(threading.enumerate())  # an application that was tested before may still have its own
    hasher = PasswordHasher(PasswordSettings(memory_kib=64 * 1024, time_cost=4, threads=1, min_length=1))
    hashing = asyncio.gather(*(hasher.hash("x") for _ in range(4)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 20
    assert len([thread for thread in set(threading.enumerate()) - others if thread.name.startswith("password")]) == 1
    assert len(await hashing) == 4


async def test_only_so_many_wait_for_a_thread() -> None:
    """The fifth is refused at once, whether it would hash or verify; when the others are done there is room again."""
    hasher = PasswordHasher(PasswordSettings(memory_kib=8 * 1024, time_cost=2, threads=1, min_length=1, max_waiting=4))
    hashing = [asyncio.create_task(hasher.hash("x")) for _ in range(4)]
    await asyncio.sleep(0)  # they begin
    with pytest.raises(TooManyPasswords):
        await hasher.hash("x")
    with pytest.raises(TooManyPasswords):
        await hasher.verify("x", None)
    stored = await asyncio.gather(*hashing)
    assert await hasher.verify("x", stored[0])


@pytest.mark.parametrize(
    ("typed", "hashed"),
    [
        ("correct horse", "correct horse"),
        ("  Blanks belong to it ", "  Blanks belong to it "),
        ("jose\u0301", "jos\u00e9"),
        ("\u212bngstr\u00f6m", "\u00c5ngstr\u00f6m"),
        ("foo\u1680bar\u3000baz\u00a0", "foo bar baz "),
        ("\u03c0\u00df\u00e5", "\u03c0\u00df\u00e5"),
        ("Jack of \u2666s", "Jack of \u2666s"),
        ("\uff41\ufb01\u00b2", "\uff41\ufb01\u00b2"),
        ("\u2764\ufe0f \U0001f468\u200d\U0001f469", "\u2764\ufe0f \U0001f468\u200d\U0001f469"),
        ("tab\tand\u2028line", "tab\tand\u2028line"),
    ],
)
def test_a_password_is_hashed_in_one_form(typed: str, hashed: str) -> None:
    """The examples of RFC 8265: composed, with plain spaces, and else as it was typed; that form stays as it is."""
    assert normalized(typed) == hashed
    assert normalized(hashed) == hashed


async def test_a_password_is_right_in_each_way_of_typing_it(hasher: PasswordHasher) -> None:
    """Also for a hash that was made before passwords were normalized, in the very form that was typed then."""
    stored = await hasher.hash("jos\u00e9 \u00e0 Paris")
    assert await hasher.verify("jose\u0301\u00a0a\u0300 Paris", stored)
    assert not await hasher.verify("jose a Paris", stored)
    older = hasher._hasher.hash("jose\u0301\u00a0a\u0300 Paris")
    assert await hasher.verify("jose\u0301\u00a0a\u0300 Paris", older)
    assert not await hasher.verify("jos\u00e9 \u00e0 Paris", older)


async def test_the_length_is_that_of_the_normalized_password() -> None:
    """Four letters with accents are four characters, however they are typed."""
    hasher = PasswordHasher(PasswordSettings(memory_kib=8, time_cost=1, threads=1, min_length=5))
    for password in ("\u00e9" * 4, "e\u0301" * 4):
        with pytest.raises(PasswordTooShort):
            await hasher.hash(password)
    await hasher.hash("e\u0301" * 5)


async def test_a_hash_is_made_anew_when_it_was_made_otherwise(hasher: PasswordHasher) -> None:
    """With another cost, higher or lower, or from a password that was not normalized; and only for the right password."""
    current = await hasher.hash("caf\u00e9")
    assert await hasher.verify_and_update("caf\u00e9", current) == (True, None)
    assert await hasher.verify_and_update("cafe\u0301", current) == (True, None)
    others = [
        await PasswordHasher(PasswordSettings(memory_kib=memory, time_cost=time, threads=1, min_length=1)).hash(
            "caf\u00e9"
        )
        for memory, time in ((16, 1), (8, 2))
    ]
    others.append(hasher._hasher.hash("cafe\u0301"))
    for stored in others:
        assert await hasher.verify_and_update("wrong", stored) == (False, None)
        matches, renewed = await hasher.verify_and_update("cafe\u0301", stored)
        assert matches
        assert renewed is not None
        assert await hasher.verify_and_update("caf\u00e9", renewed) == (True, None)
    assert await hasher.verify_and_update("caf\u00e9", None) == (False, None)


@pytest.mark.parametrize(
    "other", ["x", "$2b$12$" + "a" * 53, "$argon2id$v=19$m=8,t=1,p=1", "$argon2id$", "sha256$1$a$b"]
)
async def test_a_hash_of_another_kind_fits_no_password(hasher: PasswordHasher, other: str) -> None:
    """It is refused as a wrong password is: whoever imported users gives them new ones."""
    assert not await hasher.verify("x", other)
    assert await hasher.verify_and_update("x", other) == (False, None)


async def test_a_wrong_password_costs_the_same_for_nobody_as_for_a_user(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hash, or two where it is not in the normal form: that is seen from the password alone."""
    stored = await hasher.hash("x")
    calls = []
    verify = hasher._hasher.verify

    def counted(password: str, password_hash: str) -> bool:
        calls.append(password)
        return verify(password, password_hash)

    monkeypatch.setattr(hasher._hasher, "verify", counted)
    for password, hashes in (("wrong", 1), ("fran\u00e7ais", 1), ("franc\u0327ais", 2)):
        for password_hash in (stored, None, "$2b$12$of-another-kind"):
            calls.clear()
            await hasher.verify_and_update(password, password_hash)
            assert len(calls) == hashes
