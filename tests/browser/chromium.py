"""Drives Debian's Chromium over its own protocol, as a user would: one page, with all that it asks for and complains of."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

_OPTIONS = (
    "--headless=new",
    "--remote-debugging-port=0",  # any free port, which it writes into its folder
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # there is no internet
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-crash-reporter",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # where /dev/shm is small, as in containers
    *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it refuses to start as root otherwise
)
_ELEMENT = "[...document.querySelectorAll({selector})].find((element) => element.textContent.includes({text}))"
_PATIENCE = 60
"""Seconds for anything that the page is to do, on a busy machine."""


class Page:
    """A page in the browser. `requests`: all URLs that it asked for; `complaints`: errors, and what its policy blocked."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._websocket = websocket
        self._sent = 0
        for domain in ("Network", "Runtime", "Log"):
            self._send(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a URL."""
        self._send("Page.navigate", url=url)
        self.run(_until("document.readyState === 'complete'"))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, once it is there. Raises `AssertionError` when it throws."""
        result = self._send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector: str, containing: str = "") -> str:
        """The text of the first such element, as soon as there is one. Raises `AssertionError` when none comes."""
        text: str = self._with(selector, containing, "element.textContent")
        return text

    def click(self, selector: str, containing: str = "") -> None:
        """Click the first such element, as soon as there is one."""
        self._with(selector, containing, "element.click()")

    def fill(self, selector: str, text: str) -> None:
        """Type a text in the place of what a field has."""
        self._with(selector, "", "{ element.focus(); element.select() }")
        self._send("Input.insertText", text=text)

    def _with(self, selector: str, containing: str, action: str) -> Any:
        element = _ELEMENT.format(selector=json.dumps(selector), text=json.dumps(containing))
        try:
            return self.run(f"{_until(element)}.then((element) => {action})")
        except TimeoutError:
            shown = self.run("document.body.innerText")
        raise AssertionError(f"no {selector} with {containing!r} in:\n{shown}")

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        self._websocket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        deadline = monotonic() + _PATIENCE
        while True:
            message = json.loads(self._websocket.recv(timeout=max(0, deadline - monotonic())))
            if message.get("id") == self._sent:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message.get("method"), message.get("params", {}))

    def _note(self, event: str | None, parameters: dict[str, Any]) -> None:
        match event:
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.complaints.append(f"{parameters['entry']['text']} ({parameters['entry'].get('url')})")
            case "Runtime.consoleAPICalled" if parameters["type"] in {"error", "assert"}:
                self.complaints.append(str(parameters["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """An empty page in a browser of its own, which is ended whatever happens. All that it writes is in this folder."""
    program = shutil.which("chromium")
    assert program, "Chromium is not installed: apt-get install --no-install-recommends chromium"
    command = [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    with (profile / "output.txt").open("w") as output:
        process = subprocess.Popen(
            command, env={**os.environ, "HOME": str(profile)}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with connect(_target(profile, process), proxy=None, max_size=None) as websocket:
            yield Page(websocket)
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _target(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the protocol of the one page is spoken."""
    written = profile / "DevToolsActivePort"
    deadline = monotonic() + _PATIENCE
    while not written.exists() or not written.read_text():
        assert process.poll() is None, f"Chromium ended:\n{(profile / 'output.txt').read_text()}"
        assert monotonic() < deadline, "Chromium did not start in time"
        sleep(0.05)
    port = written.read_text().splitlines()[0]
    targets = httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json()
    return next(str(target["webSocketDebuggerUrl"]) for target in targets if target["type"] == "page")


def _until(condition: str) -> str:
    """A promise of the first value of a JavaScript expression that is not undefined or false."""
    look = f"const value = {condition}; value ? done(value) : setTimeout(look, 20)"
    return f"new Promise((done) => {{ const look = () => {{ {look} }}; look() }})"
