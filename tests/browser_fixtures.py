"""A headless Chromium that tests drive, where there is one."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
"""axe-core from npm, which tests for accessibility; AXE_CORE names its file where it is installed elsewhere."""
SECONDS = 300
"""How long the browser may take to answer before it counts as hung."""


class Browser:
    """A tab of a Chromium whose profile is in a folder, driven by the DevTools protocol."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.said: list[dict[str, Any]] = []
        self.session = ""
        self.count = 0
        self.socket = self._run(self._connect(folder / "DevToolsActivePort"))
        tab = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def _run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, SECONDS))

    async def _connect(self, port_file: Path) -> WebSocketClientConnection:
        while not (port_file.exists() and len(written := port_file.read_text().split("\n")) > 1):
            await asyncio.sleep(0.1)
        return await websocket_connect(f"ws://127.0.0.1:{written[0]}{written[1]}", max_message_size=2**30)

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        await self.socket.write_message(json.dumps(message))
        return await self._until(lambda said: said.get("id") == message["id"])

    async def _until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message of the browser that is wanted; the others are kept in `said`."""
        while True:
            message: dict[str, Any] = json.loads(str(await self.socket.read_message()))
            self.said.append(message)
            if wanted(message):
                return message

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask something of the browser and give its answer."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        answer = self._run(self._ask(message))
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, page: Path | str, width: int, **media: str) -> None:
        """Load a page from its file or address, in a window of this width and with these media features."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                  mobile=width < 600)  # fmt: skip
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.said.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        if not any(said.get("method") == "Page.loadEventFired" for said in self.said):
            self._run(self._until(lambda said: said.get("method") == "Page.loadEventFired"))

    def tell(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = {"Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowRight": 39}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def problems(self) -> list[dict[str, Any]]:
        """What the console has said since the page was opened."""
        self.tell("new Promise((done) => setTimeout(done, 200))")
        spoken = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [said for said in self.said if said.get("method") in spoken]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A tab for the tests of one module."""
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [str(CHROMIUM), *flags, f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield Browser(Path(folder))
        finally:
            process.terminate()
            process.wait()
