"""Downloads, against a server on loopback: once, verified, tried again, never half-written."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data import BadInput, download
from data.download import DownloadError, fetch

BODY = b"day,cases\n1,2\n" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers with `answers` in turn, the last one for ever; counts the requests."""

    answers: list[tuple[int, bytes, int]]  # status, body, content length
    requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/cases.csv"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body, length = self.server.answers[min(self.server.requests, len(self.server.answers) - 1)]
        self.server.requests += 1
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


GOOD = (200, BODY, len(BODY))
BROKEN_OFF = (200, BODY[:5000], len(BODY))
FAILURE = (500, b"", 0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits between attempts
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers = [GOOD]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def files(folder: str = "cache") -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_the_first_call_downloads_and_the_second_asks_nobody(server: Server) -> None:
    lines: list[str] = []
    path = fetch(server.url, "cache", "cases.csv", log=lines.append)
    assert path.read_bytes() == BODY and lines == [f"Downloading {server.url}"]
    assert (path.parent / "cases.csv.sha256").read_text().strip() == SHA256
    assert fetch(server.url, "cache", "cases.csv", log=lines.append) == path
    assert server.requests == 1 and len(lines) == 1
    assert files() == {"cases.csv", "cases.csv.sha256"}


@pytest.mark.parametrize("trouble", [FAILURE, BROKEN_OFF], ids=["server error", "broken off"])
def test_a_passing_trouble_is_tried_again(server: Server, trouble: tuple[int, bytes, int]) -> None:
    server.answers = [trouble, trouble, GOOD]
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY
    assert server.requests == 3


@pytest.mark.parametrize(
    "answer, requests, message",
    [
        (FAILURE, 3, "500"),
        (BROKEN_OFF, 3, "broken"),
        ((404, b"", 0), 1, "404 Not Found"),
    ],
    ids=["server error", "broken off", "not found"],
)
def test_a_lasting_trouble_is_one_line_and_leaves_nothing(
    server: Server, answer: tuple[int, bytes, int], requests: int, message: str
) -> None:
    server.answers = [answer]
    with pytest.raises(DownloadError, match=message) as error:
        fetch(server.url, "cache", "cases.csv")
    assert server.requests == requests
    assert "\n" not in str(error.value) and server.url in str(error.value)
    assert files() == set()


@pytest.mark.parametrize("listens", [False, True], ids=["no server", "silent server"])
def test_no_answer_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, listens: bool) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (3, 0.1))
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waited to try again"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        port = server.getsockname()[1]
        with pytest.raises(DownloadError, match=f"^no connection to 127.0.0.1:{port}$"):
            fetch(f"http://127.0.0.1:{port}/cases.csv", "cache", "cases.csv")


def test_a_known_checksum_is_demanded_of_the_download(server: Server) -> None:
    assert fetch(server.url, "good", "cases.csv", known_hash=SHA256).read_bytes() == BODY
    with pytest.raises(DownloadError, match="SHA-256") as error:
        fetch(server.url, "bad", "cases.csv", known_hash="0" * 64)
    assert "\n" not in str(error.value) and files("bad") == set()


def test_a_cached_file_that_has_changed_is_refused(server: Server) -> None:
    path = fetch(server.url, "cache", "cases.csv")
    path.write_bytes(BODY[:-1])
    with pytest.raises(BadInput, match=f"^{path}: has changed .* delete it"):
        fetch(server.url, "cache", "cases.csv")
    assert path.read_bytes() == BODY[:-1] and server.requests == 1


def test_a_new_download_must_be_the_file_first_used(server: Server) -> None:
    fetch(server.url, "cache", "cases.csv").unlink()
    server.answers = [(200, b"other", 5)]
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch(server.url, "cache", "cases.csv")
    assert files() == {"cases.csv.sha256"}
    server.answers = [GOOD]
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY


def refuse_html(path: Path) -> None:
    if path.read_bytes().startswith(b"<"):
        raise BadInput(f"{path}: is a web page")


def test_a_web_page_in_place_of_the_file_is_not_cached(server: Server) -> None:
    server.answers = [(200, b"<html>", 6), GOOD]
    with pytest.raises(DownloadError, match=f"^{server.url}: is a web page$"):
        fetch(server.url, "cache", "cases.csv", check=refuse_html)
    assert files() == set()
    assert fetch(server.url, "cache", "cases.csv", check=refuse_html).read_bytes() == BODY


def test_a_file_put_into_the_cache_by_hand_is_checked_then_remembered(server: Server) -> None:
    path = Path("cache", "cases.csv")
    path.parent.mkdir()
    path.write_bytes(b"<html>")
    with pytest.raises(BadInput, match="is a web page"):
        fetch(server.url, "cache", "cases.csv", check=refuse_html)
    path.write_bytes(BODY)
    fetch(server.url, "cache", "cases.csv", check=refuse_html)
    assert files() == {"cases.csv", "cases.csv.sha256"} and server.requests == 0


def test_a_folder_that_cannot_be_written_is_one_line(server: Server) -> None:
    Path("file").write_text("")
    with pytest.raises(DownloadError, match="^file/cache: Not a directory$"):
        fetch(server.url, "file/cache", "cases.csv")
