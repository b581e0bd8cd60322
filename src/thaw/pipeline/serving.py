"""Starting the process that stages are forked from, and asking it for one.

Importing torch, torchvision and torchmetrics takes ten seconds on a slow core, which is longer than many a stage
works, and `thaw repro` runs hundreds of them. So it keeps `stage_server`, which has imported all that stages need, and
the DVC processes ask that for a fork instead of starting Python anew.

Only on Linux: elsewhere a process that has imported torch must not be forked. Where there is no server, a stage is a
process of its own, as it is in plain DVC.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ADDRESS = "THAW_STAGE_SERVER"
"""The environment variable that names the server's socket."""
COMMAND = re.compile(r"thaw(?: [\w.-]+)+")
STARTED = b"\xff"
"""What the server says before it runs a stage; then comes the exit status, in one byte too."""
LONGEST_ADDRESS = 107
"""Bytes that Linux has room for in the path of a socket; a folder for temporary files may lie deeper."""
STOP_SECONDS = 10.0


@contextlib.contextmanager
def serving(settings: dict[str, str]) -> Iterator[dict[str, str]]:
    """A server in the environment `settings` while the context lasts; gives the environment in which it is asked."""
    with tempfile.TemporaryDirectory(prefix="thaw-") as folder:
        address = str(Path(folder) / "stages")
        if sys.platform != "linux" or len(os.fsencode(address)) > LONGEST_ADDRESS:
            yield settings
            return
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(address)
            listening.listen()  # whoever asks from now on waits until all is imported
            process = subprocess.Popen(
                [sys.executable, "-m", "thaw.pipeline.stage_server", str(listening.fileno())],
                env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=[listening.fileno()], start_new_session=True,
            )  # fmt: skip
        try:
            yield settings | {ADDRESS: address}
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_stage(command: str, folder: str, environment: dict[str, str]) -> int | None:
    """Run a stage's command in a fork of the server, with this process's output; gives its exit status.

    An interruption of this process goes to the stage. The status is negative where a signal ended the stage, and None
    where nothing was run, as there is no server or the command is not one `thaw` command alone.
    """
    address = os.environ.get(ADDRESS)
    if address is None or not COMMAND.fullmatch(command):
        return None
    request = {"words": command.split()[1:], "folder": folder, "environment": environment}
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(address)
            socket.send_fds(server, [b"\n"], [1, 2])
            server.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            return None
        before = signal.signal(signal.SIGINT, lambda number, _: server.sendall(bytes([number])))
        try:
            if _answer(server) != STARTED:
                return None
            status = _answer(server)
        finally:
            signal.signal(signal.SIGINT, before)
    return status[0] if status else -signal.SIGKILL


def _answer(server: socket.socket) -> bytes:
    """The next byte that the server says; none where it is gone."""
    try:
        return server.recv(1)
    except ConnectionError:  # it went without having read all that it was told
        return b""
