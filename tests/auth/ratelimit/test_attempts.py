"""Attempts that are limited: who is the same client, what is counted, and what a client is told."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from containers import Container
from service.auth.ratelimit.limiter import AttemptLimiter, network
from service.auth.ratelimit.settings import RateLimitSettings
from service.errors import TooManyRequests
from service.settings import ConfigurationError, Settings
from tests.support.clients import client_of
from tests.support.processes import answer, free_port, running

ADA = {"email": "ada@example.com", "password": "correct horse"}
WINDOW = 12
"""Seconds: longer than twenty registrations take on a busy machine."""


@pytest.fixture
def limiter(container: Container) -> AttemptLimiter:
    """Three attempts a minute for an address, five for a client, ten an hour."""
    limits = RateLimitSettings(
        login_per_address="3/minute",
        login_per_client="5/minute; 10/hour",
        register_per_address="1/day",
        register_per_client="1/day",
    )
    return AttemptLimiter(container.rate_limits(), limits)


async def _passed(container: Container, limiter: AttemptLimiter, *attempts: tuple[str, str | None]) -> list[bool]:
    passed = []
    for address, client in attempts:
        async with container.database().scope("attempt"):
            try:
                await limiter.check("login", address=address, client=client)
            except TooManyRequests:
                passed.append(False)
            else:
                passed.append(True)
    return passed


async def test_an_address_is_limited_from_wherever_and_in_whatever_case(
    container: Container, limiter: AttemptLimiter
) -> None:
    """Its fourth attempt is refused though each came from another client; another address is not."""
    attempts = [("ada@example.com" if number % 2 else "ADA@Example.com", f"192.0.2.{number}") for number in range(4)]
    assert await _passed(container, limiter, *attempts) == [True, True, True, False]
    assert await _passed(container, limiter, ("grace@example.com", "192.0.2.1")) == [True]


async def test_a_client_is_limited_whatever_the_address(container: Container, limiter: AttemptLimiter) -> None:
    """Its sixth attempt is refused, and leaves the address that it tried untouched."""
    attempts = [(f"{number}@example.com", "2001:db8::1") for number in range(5)]
    assert await _passed(container, limiter, *attempts) == [True] * 5
    assert await _passed(container, limiter, *[("ada@example.com", "2001:db8::2")] * 5) == [False] * 5
    assert await _passed(container, limiter, *[("ada@example.com", None)] * 4) == [True, True, True, False]


async def test_a_longer_window_of_the_same_limit_counts_too(container: Container, limiter: AttemptLimiter) -> None:
    """Of several limits each is kept, and the longest of the exceeded ones is what a client is told."""
    attempts = [(f"{number}@example.com", "192.0.2.1") for number in range(10)]
    await _passed(container, limiter, *attempts)
    async with container.database().scope("attempt"):
        with pytest.raises(TooManyRequests) as refused:
            await limiter.check("login", address="x@example.com", client="192.0.2.1")
    assert 3000 < refused.value.retry_after <= 3600


async def test_what_is_done_is_counted_by_itself(container: Container, limiter: AttemptLimiter) -> None:
    """Registrations do not use up logins."""
    async with container.database().scope("attempt"):
        await limiter.check("register", address="ada@example.com", client="192.0.2.1")
    assert await _passed(container, limiter, ("ada@example.com", "192.0.2.1")) == [True]


async def test_an_attempt_is_one_statement_and_none_where_limits_are_off(
    container: Container, limiter: AttemptLimiter
) -> None:
    """All windows of both keys in one round trip."""
    totals = container.database().stats().totals.statements
    await _passed(container, limiter, ("ada@example.com", "192.0.2.1"))
    await _passed(container, container.attempts(), ("ada@example.com", "192.0.2.1"))
    assert container.database().stats().totals.statements - totals == 1


@pytest.mark.parametrize(
    ("client", "known_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a proxy's own name", "a proxy's own name"),
    ],
)
def test_one_client_is_an_ipv4_address_or_an_ipv6_network(client: str, known_as: str) -> None:
    """Nobody gets more attempts by choosing another address in a network of their own."""
    assert network(client) == known_as


@pytest.mark.parametrize(
    "limit", [" ;", "ten a minute", "10/fortnight", "0/minute", "10/minute; 0/hour", "1/2year", "9" * 12 + "/day"]
)
def test_a_limit_that_cannot_be_read_ends_the_start(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """With the key, its source and an example."""
    monkeypatch.setenv("POOLKEEPER_LIMITS__LOGIN_PER_CLIENT", limit)
    with pytest.raises(ConfigurationError) as refused:
        Settings()
    assert str(refused.value) == (
        "limits.login_per_client (environment variable POOLKEEPER_LIMITS__LOGIN_PER_CLIENT): "
        'must be like "10/minute" or "10/minute; 50/hour", at most a year'
    )


async def test_a_registration_that_is_undone_counts(
    cloned_container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A taken address is a 400 that saves nothing, twice; the third attempt is a 429 with the time to wait."""
    monkeypatch.setenv("POOLKEEPER_LIMITS__ENABLED", "true")
    monkeypatch.setenv("POOLKEEPER_LIMITS__REGISTER_PER_ADDRESS", "3/minute")
    cloned_container.settings.reset()
    async with client_of(cloned_container) as client:
        answers = [await client.post("/users/", json=ADA, headers={"Idempotency-Key": str(n)}) for n in range(4)]
    assert [answer.status_code for answer in answers] == [201, 400, 400, 429]
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_a_change_of_address_counts_as_a_registration(
    cloned_container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells whether an address is taken: the third one asked for is a 429, and other changes are not counted."""
    monkeypatch.setenv("POOLKEEPER_LIMITS__ENABLED", "true")
    monkeypatch.setenv("POOLKEEPER_LIMITS__REGISTER_PER_CLIENT", "3/minute")
    cloned_container.settings.reset()
    async with client_of(cloned_container) as client:
        path = f"/users/{(await client.post('/users/', json=ADA)).json()['id']}"
        asked = [await client.patch(path, json={"email": f"{number}@example.com"}) for number in range(3)]
        other = await client.patch(path, json={"is_active": True})
    assert [answer.status_code for answer in asked] == [200, 200, 429]
    assert other.status_code == 200


async def test_nobody_else_uses_up_a_users_tries_at_its_password(
    cloned_container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever name others sign in with."""
    monkeypatch.setenv("POOLKEEPER_LIMITS__ENABLED", "true")
    monkeypatch.setenv("POOLKEEPER_LIMITS__LOGIN_PER_ADDRESS", "2/minute")
    cloned_container.settings.reset()
    async with client_of(cloned_container) as client:
        user_id = (await client.post("/users/", json=ADA)).json()["id"]
        name = f"user {user_id}"
        others = [await client.post("/token", data={"username": name, "password": "wrong"}) for _ in range(3)]
        changed = await client.put(f"/users/{user_id}/password", json={"password": "battery staple"})
    assert [answer.status_code for answer in others] == [401, 401, 429]
    assert changed.status_code == 204


async def test_without_a_database_an_attempt_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everything else is: nobody gets in uncounted."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@127.0.0.1:{free_port()}/nothing")
    monkeypatch.setenv("POOLKEEPER_DATABASE__MIGRATE_ON_START", "false")
    monkeypatch.setenv("POOLKEEPER_LIMITS__ENABLED", "true")
    container = Container()
    await container.init_resources()  # type: ignore[misc]
    try:
        async with client_of(container) as client:
            answered = await client.post("/users/", json=ADA)
    finally:
        await container.shutdown_resources()  # type: ignore[misc]
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "1")


async def test_two_workers_let_five_of_twenty_register(folder: Path, clone_dsn: str) -> None:
    """Exactly five, and after the seconds that the others were told, the next one."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/users/"
    variables = {
        "DATABASE_URL": clone_dsn,
        "POOLKEEPER_LIMITS__ENABLED": "true",
        "POOLKEEPER_LIMITS__REGISTER_PER_CLIENT": f"5/{WINDOW}seconds",
    }

    def register(number: int) -> httpx.Response:
        return httpx.post(url, json={**ADA, "email": f"{number}@example.com"}, timeout=30)

    def attempt_all() -> None:
        with running(
            "uvicorn", "service.main:app", "--workers", "2", "--port", str(port), cwd=folder, **variables
        ) as process:
            answer(url, process)
            with ThreadPoolExecutor(10) as threads:
                answers = list(threads.map(register, range(20)))
            told_at = monotonic()
            assert sorted(answer.status_code for answer in answers) == [201] * 5 + [429] * 15
            told = {int(answer.headers["retry-after"]) for answer in answers if answer.status_code == 429}
            assert 1 <= min(told) <= max(told) <= WINDOW
            sleep(max(0.0, told_at + max(told) - monotonic()))
            assert register(20).status_code == 201

    await asyncio.to_thread(attempt_all)
