"""The documentation page over HTTP: what it is made of, and what it may do in a browser. `tests/browser` uses it in one."""

import re
from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from containers import Container
from tests.support.clients import client_of

_ASSETS = {
    "page.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_POLICY = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "connect-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'none'"],
    "frame-ancestors": ["'none'"],
}


def _client(prefix: str = "") -> AsyncClient:
    return client_of(Container(), base_url=f"http://test{prefix}", root_path=prefix)


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    """A client of the application, whose pool nobody has opened: the page needs no database."""
    async with _client() as client:
        yield client


async def test_where_it_is_off_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the page nor what it is made of, nor the document that it shows."""
    monkeypatch.setenv("POOLKEEPER_DOCUMENTATION__ENABLED", "false")
    async with _client() as client:
        for path in ("/", "/docs", "/docs/assets/page.js", "/openapi.json"):
            assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect", "/docs/assets/", "/docs/assets/nothing.js"])
async def test_what_is_not_there_is_a_problem(client: AsyncClient, path: str) -> None:
    """FastAPI's own pages, whose scripts come from elsewhere, are gone."""
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["../router.py", "%2e%2e/router.py", "..%2frouter.py", "%2fetc%2fpasswd"])
async def test_nothing_outside_the_assets_is_given_away(client: AsyncClient, path: str) -> None:
    """Neither the code beside them nor a file of the machine."""
    assert (await client.get(f"/docs/assets/{path}")).status_code == 404


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/assets/{name}" for name in _ASSETS)])
async def test_everything_has_the_strict_policy(client: AsyncClient, path: str) -> None:
    """Nothing inline, nothing that is evaluated, nothing from another host, in nobody's frame."""
    policy = (await client.get(path)).headers["content-security-policy"]
    assert {name: values for name, *values in (part.split() for part in policy.split(";"))} == _POLICY


async def test_the_page_names_only_what_the_service_has(client: AsyncClient) -> None:
    """All four assets, each with its type; and no script or style within the page."""
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<style|\bstyle=|\bon\w+=|<script>|//", page.text)
    named = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert sorted(named) == sorted(f"docs/assets/{name}" for name in _ASSETS)
    for name, media_type in _ASSETS.items():
        asset = await client.get(f"/docs/assets/{name}")
        assert (asset.status_code, asset.headers["content-type"]) == (200, media_type)
        assert asset.content


async def test_a_browser_keeps_what_has_not_changed(client: AsyncClient) -> None:
    """It asks each time, and is answered without a body."""
    for path in ("/docs", "/docs/assets/swagger-ui-bundle.js"):
        first = await client.get(path)
        again = await client.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"


async def test_the_page_works_below_a_prefix() -> None:
    """Where a proxy serves it at another path: every address is relative to the page's own."""
    async with _client("/api") as client:
        page = await client.get("/", follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, "/api/docs")
        for address in ("openapi.json", *re.findall(r'(?:src|href)="([^"]*)"', page.text)):
            assert (await client.get(str(page.url.join(address)))).status_code == 200


async def test_the_page_is_not_part_of_what_it_documents(client: AsyncClient) -> None:
    """Nor are its assets and the redirect; and Swagger UI, which goes by them, finds each operation's id only once."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/docs")]
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(set(ids)) == len(ids) > 0
