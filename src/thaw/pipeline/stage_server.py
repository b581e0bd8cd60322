"""The process that stages are forked from: it has imported what they need, and does nothing else (see `serving`).

A fork has its own memory, folder, environment, output and process group, so a stage gives the bytes that it gives as a
process of its own. Where the project's code has changed since the server started, it is a process of its own.
"""

import importlib
import json
import os
import pkgutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import thaw
from thaw import stages
from thaw.cli import main
from thaw.pipeline.serving import STARTED

PACKAGE = Path(thaw.__file__).parent
IMPORTED_LATE = ("torch._dynamo", "torch_fidelity.metric_prc", "torchmetrics.image.fid")
"""What stages import only when they come to use it, or torch for them."""


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks for whoever connects to a socket that already listens; ends with the process that started it."""

    def __init__(self, listening: int) -> None:
        super().__init__("", Stage, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=listening)
        self.parent = os.getppid()
        self.changes = last_changes()  # before anything is imported, so that no change meanwhile is missed
        of_stages = [module.name for module in pkgutil.iter_modules(stages.__path__, f"{stages.__name__}.")]
        for name in (*of_stages, *IMPORTED_LATE):
            importlib.import_module(name)

    def service_actions(self) -> None:
        """Called now and then."""
        super().service_actions()
        if os.getppid() != self.parent:
            sys.exit()


class Stage(socketserver.StreamRequestHandler):
    """One stage, in the fork that was made for it."""

    server: Server

    def handle(self) -> None:
        """Become the process that is asked for, run the command, and answer with its exit status."""
        self.server.socket.close()
        _, outputs, _, _ = socket.recv_fds(self.request, 1, 2)
        request: dict[str, Any] = json.loads(self.rfile.readline())
        self.request.sendall(STARTED)
        for number, output in enumerate(outputs, start=1):
            os.dup2(output, number)
            os.close(output)
        os.setpgid(0, 0)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        threading.Thread(target=obey, args=[self.rfile], daemon=True).start()
        status = run(request["words"], self.server.changes)
        self.request.sendall(bytes([status % 256]))


def obey(orders: BinaryIO) -> None:
    """Send this process and what it started the signals that are asked for; end them with whoever asks."""
    while number := orders.read(1):
        os.killpg(0, number[0])
    os.killpg(0, signal.SIGKILL)


def run(words: Sequence[str], imported: dict[Path, int]) -> int:
    """The exit status of `thaw WORDS`, which has said what it has to say; `imported` is the code as it was imported."""
    if last_changes() != imported:
        return subprocess.call([sys.executable, "-m", "thaw", *words])
    sys.argv = ["thaw", *words]
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def last_changes() -> dict[Path, int]:
    """When each of the project's modules was last changed, in nanoseconds."""
    return {file: file.stat().st_mtime_ns for file in PACKAGE.rglob("*.py")}


if __name__ == "__main__":
    Server(int(sys.argv[1])).serve_forever()
