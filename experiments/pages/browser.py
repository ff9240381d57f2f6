"""Headless Chromium, driven by chromedriver's protocol: JSON over HTTP, no package is needed."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Any, Self

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
           "--hide-scrollbars")  # fmt: skip
STARTED = 30.0  #: seconds that chromedriver may take to start
LONGEST = 120.0  #: seconds of one command


class Browser:
    """A Chromium of one width, with a new, empty profile.

    Args:
        width: of the window, in CSS pixels.
        height: of the window.
        phone: whether it is a phone's screen, whose pages may set their own viewport.
    """

    def __init__(self, width: int, height: int, *, phone: bool = False) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        driver = shutil.which("chromedriver")
        if driver is None:
            raise SystemExit("chromedriver is not installed: apt-get install chromium-driver")
        self._process = subprocess.Popen([driver, f"--port={port}", "--log-level=OFF"])
        self._address = f"http://127.0.0.1:{port}"
        options: dict[str, Any] = {
            "args": [*OPTIONS, f"--user-data-dir={self._profile.name}",
                     f"--window-size={width},{height}"],
        }  # fmt: skip
        if phone:
            metrics = {"width": width, "height": height, "pixelRatio": 2.0, "mobile": True}
            options["mobileEmulation"] = {"deviceMetrics": metrics}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = ""
        end = time.monotonic() + STARTED
        while True:
            try:
                answer = self._ask("/session", {"capabilities": {"alwaysMatch": wanted}})
                break
            except urllib.error.URLError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        self._session = f"/session/{answer['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self._ask("", None, "DELETE")
        finally:
            self._process.terminate()
            self._process.wait()
            self._profile.cleanup()

    def open(self, address: str) -> None:
        """Load a page, to the end of its load event."""
        self._ask("/url", {"url": address})

    def run(self, script: str) -> Any:
        """What a piece of JavaScript returns."""
        return self._ask("/execute/sync", {"script": script, "args": []})

    def messages(self) -> list[str]:
        """Errors and warnings of the console since the last call."""
        entries = self._ask("/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] in ("SEVERE", "WARNING")]

    def picture(self) -> bytes:
        """The whole page, as far as it can be scrolled, as PNG."""
        command = {"format": "png", "captureBeyondViewport": True}
        answer = self._ask(
            "/goog/cdp/execute", {"cmd": "Page.captureScreenshot", "params": command}
        )
        return base64.b64decode(answer["data"])

    def _ask(self, path: str, body: dict[str, Any] | None, verb: str = "POST") -> Any:
        request = urllib.request.Request(
            f"{self._address}{self._session}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=verb,
        )
        with urllib.request.urlopen(request, timeout=LONGEST) as answer:
            return json.load(answer)["value"]
