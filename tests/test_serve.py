from concurrent.futures import Future, ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from thaw.pages.serve import serve


def fetched(address: str) -> bytes:
    with urlopen(address, timeout=10) as answer:
        return bytes(answer.read())


def test_the_report_is_served_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text("the report")
    read: list[Future[bytes]] = []
    with ThreadPoolExecutor() as reader:
        monkeypatch.setattr("webbrowser.open", lambda address: read.append(reader.submit(fetched, address)))
        monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", ThreadingHTTPServer.handle_request)
        serve(tmp_path)
    assert [found.result() for found in read] == [b"the report"]
    said = capsys.readouterr()
    assert "http://127.0.0.1:" in said.out
    assert said.err == ""
