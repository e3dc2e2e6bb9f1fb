"""The documentation page in Chromium, without the internet, on the real service."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.browser.chromium import Page, chromium
from tests.support.processes import answer, free_port, running

pytestmark = pytest.mark.browser

_ADA = {"email": "ada@example.com", "password": "correct horse"}
_OPENED = ".opblock.is-open"
_ANSWER = f"{_OPENED} .live-responses-table tr.response"


@pytest.fixture
def service(folder: Path) -> Iterator[str]:
    """Where the service answers, on a PostgreSQL of its own. Whoever calls it has to be signed in."""
    port = free_port()
    command = ("uvicorn", "service.main:app", "--port", str(port))
    with running(*command, cwd=folder, POOLKEEPER_ENV="development", POOLKEEPER_AUTH__MODE="token") as process:
        url = f"http://127.0.0.1:{port}"
        assert answer(f"{url}/health/ready", process, seconds=120).status_code == 200
        yield url


@pytest.fixture
def page(service: str) -> Iterator[Page]:
    """The documentation page."""
    with TemporaryDirectory(prefix="poolkeeper-browser-", ignore_cleanup_errors=True) as profile:
        with chromium(Path(profile)) as page:
            page.open(f"{service}/docs")
            yield page


def test_what_the_policy_forbids_is_blocked_and_is_seen(page: Page) -> None:
    """Inline script and style, a script made of text, another host: each is blocked, and would fail the tests below."""
    page.text(".opblock-summary-description", "Create an item")
    assert page.complaints == []
    page.run("""(() => {
        for (const [kind, text] of [["script", "window.ran = true"], ["style", "body { display: none }"]]) {
            document.head.appendChild(Object.assign(document.createElement(kind), { textContent: text }));
        }
        setTimeout("window.ran = true");
        return fetch("https://example.com/").catch(() => "blocked");
    })()""")
    assert page.run("[window.ran, getComputedStyle(document.body).display]") == [None, "block"]
    for forbidden in (
        "Executing inline script",
        "Applying inline style",
        "Evaluating a string",
        "https://example.com/",
    ):
        assert [complaint for complaint in page.complaints if forbidden in complaint], (forbidden, page.complaints)


def test_a_wrong_password_is_said_and_opens_nothing(page: Page) -> None:
    """The dialog says that it was refused, and so does the answer of what is tried out then."""
    _register(page)
    _authorize(page, password="incorrect horse")
    page.text(".dialog-ux .errors", "Unauthorized")
    page.click(".dialog-ux .btn-done")
    _try_out(page, "GET /items/")
    _read(page, "401", '"status": 401')
    assert [complaint for complaint in page.complaints if "status of 401" not in complaint] == []


def test_an_item_is_created_and_seen(page: Page, service: str) -> None:
    """Register, log in by Authorize, give the user an item, and find it in the list."""
    _register(page)
    _authorize(page)
    page.text(".dialog-ux button", "Logout")
    page.click(".dialog-ux .btn-done")
    _try_out(page, "POST /users/{user_id}/items/", body={"title": "A pen"}, user_id="1")
    _read(page, "201", '"title": "A pen"')
    _try_out(page, "GET /items/")
    _read(page, "200", '"title": "A pen"')
    _expect_nothing_from_elsewhere(page, service)


def _register(page: Page) -> None:
    """Make the user of these tests, by the page."""
    _try_out(page, "POST /users/", body=_ADA)
    _read(page, "201", f'"email": "{_ADA["email"]}"')


def _authorize(page: Page, password: str = "") -> None:
    """Log in by the dialog, as the user of these tests, and leave it open."""
    page.click(".auth-wrapper .authorize", "Authorize")
    page.fill(".dialog-ux #oauth_username", _ADA["email"])
    page.fill(".dialog-ux #oauth_password", password or _ADA["password"])
    page.click(".dialog-ux .auth-btn-wrapper .authorize", "Authorize")


def _try_out(page: Page, operation: str, *, body: dict[str, str] | None = None, **parameters: str) -> None:
    """Open an operation, fill it in and execute it."""
    method, path = operation.split()
    page.click(f".opblock-{method.lower()} .opblock-summary-path[data-path='{path}'] a")
    page.click(f"{_OPENED} .try-out__btn", "Try it out")
    for name, value in parameters.items():
        page.fill(f"{_OPENED} tr[data-param-name='{name}'] input", value)
    if body is not None:
        page.fill(f"{_OPENED} textarea.body-param__text", json.dumps(body))
    page.click(f"{_OPENED} .execute")


def _read(page: Page, status: str, containing: str) -> None:
    """Wait for the answer to be shown, and close the operation."""
    page.text(f"{_ANSWER} .response-col_status", status)
    page.text(f"{_ANSWER} .response-col_description", containing)
    page.click(f"{_OPENED} .opblock-summary-control")


def _expect_nothing_from_elsewhere(page: Page, service: str) -> None:
    """All came from the service, or lies in the style sheet; the policy blocked nothing, and nothing went wrong."""
    assert f"{service}/docs/assets/swagger-ui-bundle.js" in page.requests
    assert [url for url in page.requests if not url.startswith((f"{service}/", "data:image/"))] == []
    assert page.complaints == []
