"""Password hashes: argon2id, and never on the event loop."""

import asyncio
import threading

import pytest

from service.passwords import PasswordHasher, TooManyPasswords


@pytest.fixture
def hasher() -> PasswordHasher:
    """A hasher that is as quick as argon2 allows, with two threads."""
    return PasswordHasher(memory_kib=8, time_cost=1, threads=2, min_length=1)


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
    hasher = PasswordHasher(memory_kib=64 * 1024, time_cost=4, threads=1, min_length=1)
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
    hasher = PasswordHasher(memory_kib=8 * 1024, time_cost=2, threads=1, min_length=1, max_waiting=4)
    hashing = [asyncio.create_task(hasher.hash("x")) for _ in range(4)]
    await asyncio.sleep(0)  # they begin
    with pytest.raises(TooManyPasswords):
        await hasher.hash("x")
    with pytest.raises(TooManyPasswords):
        await hasher.verify("x", None)
    stored = await asyncio.gather(*hashing)
    assert await hasher.verify("x", stored[0])
