"""The form of `POST /token`: what else clients send, and forms that are no good."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from httpx import AsyncClient

from tests.auth.conftest import Person
from tests.support.clients import PASSWORD

pytestmark = pytest.mark.usefixtures("token_mode")

FORM = "application/x-www-form-urlencoded"
GOOD = f"username=ada@example.com&password={quote(PASSWORD)}"


def _multipart(username: bytes, password: bytes, charset: str) -> tuple[str, bytes]:
    def parts() -> Iterator[bytes]:
        for name, value in ((b"username", username), (b"password", password)):
            yield b'--B\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"
        yield b"--B--\r\n"

    return f"multipart/form-data; boundary=B; charset={charset}", b"".join(parts())


async def _status(client: AsyncClient, content_type: str, body: bytes | str) -> int:
    return (await client.post("/token", content=body, headers={"Content-Type": content_type})).status_code


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, GOOD),
        (FORM + "; charset=UTF-8", GOOD),
        (FORM.upper(), GOOD),
        (FORM, f"{GOOD}&grant_type=password&scope=a&client_id=b&client_secret=c&scope=d"),
        (FORM, GOOD.replace("ada@", "%0d%0a%20ada@")),
        _multipart(b"ada@example.com", PASSWORD.encode(), "utf-8"),
        _multipart(b"ada@example.com", PASSWORD.encode(), "nonsense"),
    ],
)
async def test_a_form_signs_in(guarded: AsyncClient, ada: Person, content_type: str, body: str | bytes) -> None:
    """Of either media type, with the other fields of OAuth2, which are not used."""
    assert await _status(guarded, content_type, body) == 200


@pytest.mark.parametrize("field", ["username=bob@example.com", "password=wrong", "grant_type=password&grant_type=x"])
async def test_a_field_that_comes_twice_is_refused(guarded: AsyncClient, ada: Person, field: str) -> None:
    """Which of the two a proxy has checked is not known; the field is named."""
    answer = await guarded.post("/token", content=f"{GOOD}&{field}", headers={"Content-Type": FORM})
    name = field.partition("=")[0]
    assert (answer.status_code, answer.json()["detail"]) == (422, f"body.{name}: was sent more than once")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "x"])
async def test_what_is_no_form_is_a_415_that_says_what_is_wanted(guarded: AsyncClient, content_type: str) -> None:
    """Most of all JSON."""
    answer = await guarded.post(
        "/token", content='{"username": "ada@example.com"}', headers={"Content-Type": content_type}
    )
    assert (answer.status_code, answer.headers["accept"].split(", ")[0]) == (415, FORM)
    assert answer.json()["detail"] == f"body: must be a form, sent as {FORM}"


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "raw_unicode_escape", "utf-16", "idna", "undefined"])
async def test_no_charset_of_a_form_is_a_failure_of_the_service(guarded: AsyncClient, charset: str) -> None:
    """Some of Python's make half a surrogate pair, which cannot be hashed."""
    for value in (b"+2AA-", b"\\ud800", b"\xff\xfe\x00\xd8"):
        for username, password in ((value, b"x"), (b"ada@example.com", value)):
            assert 400 <= await _status(guarded, *_multipart(username, password, charset)) < 500


@pytest.mark.parametrize("value", ["%00", "%ED%A0%80", "%FF%FE", "%F0%9F%98%80" * 1024, "x" * 5000])
async def test_no_value_of_a_form_is_a_failure_of_the_service(guarded: AsyncClient, value: str) -> None:
    """NUL, what is no UTF-8, and what is long."""
    for body in (f"username={value}&password=x", f"username=ada@example.com&password={value}"):
        assert await _status(guarded, FORM, body) in {401, 422}
