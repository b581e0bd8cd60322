"""The rendered report over HTTP: a browser searches a book that is served, and not one that is opened as a file."""

import contextlib
import functools
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    """A handler that does not print what is asked of it."""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def serve(folder: Path) -> None:
    """Serve a folder to this machine alone, and open it in the browser, until Ctrl-C."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"The report is at {address} until you press Ctrl-C.", flush=True)
        webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
