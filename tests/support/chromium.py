"""A headless Chromium driven by chromedriver's own protocol (W3C WebDriver), without a package."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from typing import Any


def paths() -> tuple[str, str] | None:
    """Return browser and driver; None where one of them is not installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """A session of the browser, to be used in `with`."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        found = paths()
        if found is None:
            raise RuntimeError("no chromium and chromedriver on the path")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._driver = subprocess.Popen([found[1], f"--port={port}"], stdout=subprocess.DEVNULL)
        self._url = f"http://127.0.0.1:{port}"
        options = {
            "binary": found[0],
            "args": ["--headless=new", "--no-sandbox", f"--window-size={width},{height}"],
        }
        always = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._begin({"capabilities": {"alwaysMatch": always}})
        self._url += f"/session/{session['sessionId']}"

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(20)

    def open(self, url: str) -> None:
        """Load a page and wait until it is loaded."""
        self._ask("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        """Run JavaScript and return what it returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def wait(self, script: str, seconds: float = 30) -> Any:
        """Run JavaScript until it returns something true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise TimeoutError(script)
            time.sleep(0.1)
        return value

    def send(self, command: str, **values: Any) -> Any:
        """Send a command of the developer tools."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": values})

    def press(self, key: str) -> None:
        """Press a key, by WebDriver's code or a letter."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        keys = {"type": "key", "id": "keys", "actions": actions}
        self._ask("POST", "/actions", {"actions": [keys]})

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console so far."""
        found = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in found if entry["level"] in ("SEVERE", "WARNING")]

    def _begin(self, wanted: dict[str, Any]) -> dict[str, Any]:
        end = time.monotonic() + 30
        while True:
            try:
                return self._ask("POST", "/session", wanted)
            except ConnectionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def _ask(self, method: str, path: str, values: dict[str, Any] | None = None) -> Any:
        data = None if values is None else json.dumps(values).encode()
        request = urllib.request.Request(self._url + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()[:500]) from error
        except urllib.error.URLError as error:
            raise ConnectionError(str(error)) from error
