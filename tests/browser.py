"""Chromium without a window, driven through the pipe of its DevTools protocol."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page of `width` x `height` pixels; close it, or use it in `with`."""

    def __init__(self, url: str, folder: Path, width: int = 1000, height: int = 800) -> None:
        theirs, ours = os.pipe(), os.pipe()  # what it reads, what it writes
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        flags += [f"--window-size={width},{height}", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {shlex.join([str(CHROMIUM), *flags])} 3<&{theirs[0]} 4>&{ours[1]}"],
            pass_fds=(theirs[0], ours[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs[0])
        os.close(ours[1])
        self._to, self._from = os.fdopen(theirs[1], "wb"), os.fdopen(ours[0], "rb")
        self._calls, self._session, self._left = 0, {}, b""
        target = self("Target.createTarget", url=url)["targetId"]
        self._session = {"sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a method of the protocol."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": params, **self._session}
        self._to.write(json.dumps(call).encode() + b"\0")
        self._to.flush()
        while True:
            while b"\0" not in self._left:
                self._left += os.read(self._from.fileno(), 1 << 16) or _gone()
            text, _, self._left = self._left.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self._calls:
                assert "error" not in answer, answer
                return answer["result"]

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        result = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> Any:
        """The first value of an expression that is true."""
        end = time.monotonic() + seconds
        while not (value := self.ask(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.2)
        return value

    def click(self, x: float, y: float) -> None:
        """Press and release the left button of the mouse."""
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Save what is seen, PNG."""
        path.write_bytes(b64decode(self("Page.captureScreenshot")["data"]))

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._to.write(b'{"id": 0, "method": "Browser.close"}\0')
        self._to.close()
        self._process.wait(30)
        self._from.close()


def _gone() -> bytes:
    raise EOFError("the browser has ended")
