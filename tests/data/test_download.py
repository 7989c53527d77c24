"""Downloads, against a server on loopback: once, verified, tried again, never half-written."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import re
import resource
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data import BadInput, download
from data.download import DownloadError, fetch

BODY = b"day,cases\n1,2\n" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
ROOT = Path(__file__).resolve().parents[2]


class Server(ThreadingHTTPServer):
    """Answers in the ways of `answers` in turn, in the last one for ever; counts the requests."""

    daemon_threads = True  # which a client that is gone does not hold up

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Callable[[Handler], None]] = [GOOD]
        self.requests = 0
        self.over = threading.Event()  # the end of a silence

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/cases.csv"

    def handle_error(self, *_: object) -> None:
        """A client that is gone is no error here."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = self.server.answers[min(self.server.requests, len(self.server.answers) - 1)]
        self.server.requests += 1
        answer(self)

    def begin(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def answer(status: int, body: bytes, **headers: object) -> Callable[[Handler], None]:
    def send(handler: Handler) -> None:
        handler.begin(status, **{"Content_Length": len(body)} | headers)
        handler.wfile.write(body)

    return send


def reset(handler: Handler) -> None:
    """In the middle, and not by an orderly end."""
    BROKEN_OFF(handler)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def silence(handler: Handler) -> None:
    BROKEN_OFF(handler)
    handler.server.over.wait(30)


def trickle(handler: Handler) -> None:
    handler.begin(Content_Length=len(BODY))
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b"x")


def chunks_broken_off(handler: Handler) -> None:
    handler.begin(Transfer_Encoding="chunked")
    handler.wfile.write(b"2000\r\n" + BODY[:5000])


GOOD = answer(200, BODY)
PACKED = answer(200, gzip.compress(BODY), Content_Encoding="gzip")
PAGE = answer(200, b"<html>")
BROKEN_OFF = answer(200, BODY[:5000], Content_Length=len(BODY))
BADLY_PACKED = answer(200, b"no gzip", Content_Encoding="gzip")
FAILURE = answer(500, b"")
ELSEWHERE = answer(302, b"", Location="/login")
NOT_FOUND = answer(404, b"")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits between attempts
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def files(folder: str = "cache") -> set[str]:
    return {path.name for path in Path(folder).glob("*")}


def test_the_first_call_downloads_and_the_second_asks_nobody(server: Server) -> None:
    lines: list[str] = []
    path = fetch(server.url, "cache", "cases.csv", log=lines.append)
    assert path.read_bytes() == BODY and lines == [f"Downloading {server.url}"]
    assert (path.parent / "cases.csv.sha256").read_text().strip() == SHA256
    assert fetch(server.url, "cache", "cases.csv", log=lines.append) == path
    assert server.requests == 1 and len(lines) == 1
    assert files() == {"cases.csv", "cases.csv.sha256"}


TROUBLES = {
    "server error": (FAILURE, 3, "500 Server Error"),
    "broken off": (BROKEN_OFF, 3, "broken"),
    "reset": (reset, 3, "broken"),
    "chunks broken off": (chunks_broken_off, 3, "broken"),
    "badly packed": (BADLY_PACKED, 3, "failed to decode"),
    "in a circle": (ELSEWHERE, 93, "Exceeded 30 redirects"),
    "not found": (NOT_FOUND, 1, "404 Not Found"),
    "trickle": (trickle, 1, "arrives at less than 1,000 bytes a second"),
}
PASSING = ["server error", "broken off", "reset", "chunks broken off", "badly packed"]


@pytest.mark.parametrize("trouble", [TROUBLES[name][0] for name in PASSING], ids=PASSING)
def test_a_passing_trouble_is_tried_again(server: Server, trouble: Callable[[Handler], None]) -> None:
    server.answers = [trouble, trouble, GOOD]
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY
    assert server.requests == 3


@pytest.mark.parametrize("trouble, requests, message", TROUBLES.values(), ids=TROUBLES)
def test_a_lasting_trouble_is_one_line_and_leaves_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, trouble: Callable[[Handler], None], requests: int, message: str
) -> None:
    if trouble is trickle:
        monkeypatch.setattr(download, "SLOW_SECONDS", 0.5)
    server.answers = [trouble]
    with pytest.raises(DownloadError, match=message) as error:
        fetch(server.url, "cache", "cases.csv")
    assert server.requests == requests
    assert "\n" not in str(error.value) and server.url in str(error.value)
    assert files() == set()


def test_what_is_packed_for_the_way_is_unpacked(server: Server) -> None:
    server.answers = [PACKED]
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY


def test_a_silence_in_the_middle_is_not_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (3, 0.1))
    server.answers = [silence]
    with pytest.raises(DownloadError, match=f"^no connection to 127.0.0.1:{server.server_port}$"):
        fetch(server.url, "cache", "cases.csv")
    assert server.requests == 1 and files() == set()


def test_a_slow_server_that_is_not_a_trickle_is_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SLOW_SECONDS", 0.05)
    half = len(BODY) // 2

    def slow(handler: Handler) -> None:
        handler.begin(Content_Length=len(BODY))
        handler.wfile.write(BODY[:half])
        handler.server.over.wait(0.2)
        handler.wfile.write(BODY[half:])

    server.answers = [slow]
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY


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


def test_a_cached_file_is_read_without_a_lock(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a folder that cannot be written to."""
    fetch(server.url, "cache", "cases.csv")
    monkeypatch.setattr(download, "locked", None)
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY
    assert fetch(server.url, "cache", "cases.csv", known_hash=SHA256).read_bytes() == BODY


def test_a_cached_file_that_has_changed_is_refused(server: Server) -> None:
    path = fetch(server.url, "cache", "cases.csv")
    path.write_bytes(BODY[:-1])
    with pytest.raises(BadInput, match=f"^{path}: has changed .* delete it"):
        fetch(server.url, "cache", "cases.csv")
    assert path.read_bytes() == BODY[:-1] and server.requests == 1


def test_a_new_download_must_be_the_file_first_used(server: Server) -> None:
    fetch(server.url, "cache", "cases.csv").unlink()
    server.answers = [answer(200, b"other")]
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch(server.url, "cache", "cases.csv")
    assert files() == {"cases.csv.sha256"}
    server.answers = [GOOD]
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY


def refuse_html(path: Path) -> None:
    if path.read_bytes().startswith(b"<"):
        raise BadInput(f"{path}: is a web page")


@pytest.mark.parametrize("answers", [[PAGE], [ELSEWHERE, PAGE]], ids=["at once", "by a redirect"])
def test_a_web_page_in_place_of_the_file_is_not_cached(
    server: Server, answers: list[Callable[[Handler], None]]
) -> None:
    server.answers = [*answers, GOOD]
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
    with pytest.raises(DownloadError, match="^file/cache: (File exists|Not a directory)$"):
        fetch(server.url, "file/cache", "cases.csv")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file may grow beyond it: a write fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_space_for_the_file(server: Server) -> None:
    with files_of_at_most(5000), pytest.raises(DownloadError, match=f"^cache: {os.strerror(errno.EFBIG)}$"):
        fetch(server.url, "cache", "cases.csv", log=lambda line: None)
    assert files() == set() and server.requests == 1
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY


def test_no_space_for_the_checksum(server: Server) -> None:
    server.answers = [answer(200, b"short")]
    with files_of_at_most(20), pytest.raises(BadInput, match=f"{os.strerror(errno.EFBIG)}$"):
        fetch(server.url, "cache", "cases.csv", log=lambda line: None)
    assert files() == {"cases.csv"} and Path("cache", "cases.csv").read_bytes() == b"short"
    fetch(server.url, "cache", "cases.csv")
    assert files() == {"cases.csv", "cases.csv.sha256"} and server.requests == 1


FETCHER = """
import sys
from data.download import fetch
for line in sys.stdin:
    url, folder = line.split()
    path = fetch(url, folder, "cases.csv", log=lambda line: None)
    print(len(path.read_bytes()), flush=True)
"""


@pytest.fixture
def fetcher() -> Iterator[Callable[[], subprocess.Popen]]:
    """Processes that fetch: a URL and a folder a line in, the length of the file a line out."""
    processes = []

    def start() -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        processes.append(subprocess.Popen([sys.executable, "-c", FETCHER], text=True, env=environment, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def fetch_at_once(server: Server, fetcher: Callable[[], subprocess.Popen], rounds: int) -> None:
    processes = [fetcher(), fetcher()]
    for i in range(rounds):
        for process in processes:
            process.stdin.write(f"{server.url} cache{i}\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout.readline() == f"{len(BODY)}\n", process.stderr.read()
        assert files(f"cache{i}") == {"cases.csv", "cases.csv.sha256"}
        assert Path(f"cache{i}", "cases.csv").read_bytes() == BODY
        assert Path(f"cache{i}", "cases.csv.sha256").read_text().strip() == SHA256
    assert server.requests == rounds  # the second waits for the first


def test_two_processes_that_download_at_once(server: Server, fetcher: Callable[[], subprocess.Popen]) -> None:
    fetch_at_once(server, fetcher, rounds=25)


@pytest.mark.long
def test_two_processes_that_download_at_once_a_thousand_times(
    server: Server, fetcher: Callable[[], subprocess.Popen]
) -> None:
    fetch_at_once(server, fetcher, rounds=1000)


def test_a_process_that_is_killed_in_the_middle_leaves_no_file_by_that_name(
    server: Server, fetcher: Callable[[], subprocess.Popen]
) -> None:
    half_way = threading.Event()

    def stop_half_way(handler: Handler) -> None:
        BROKEN_OFF(handler)
        half_way.set()
        handler.server.over.wait(30)

    server.answers = [stop_half_way, GOOD]
    process = fetcher()
    process.stdin.write(f"{server.url} cache\n")
    process.stdin.flush()
    assert half_way.wait(30)
    process.kill()
    process.wait()
    assert not files() & {"cases.csv", "cases.csv.sha256"}
    assert fetch(server.url, "cache", "cases.csv").read_bytes() == BODY


# -- what stands between --------------------------------------------------------------------------------------------


def test_a_certificate_that_nobody_trusts(server: Server) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ROOT / "tests" / "data" / "untrusted.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with pytest.raises(DownloadError, match=r"^the certificate of 127.0.0.1:\d+ is not trusted here$"):
        fetch(server.url.replace("http:", "https:"), "cache", "cases.csv", log=lambda line: None)
    assert files() == set()


def ask_for_a_password(handler: Handler) -> None:
    handler.begin(407, Content_Length=0)


@pytest.mark.parametrize("url", ["http://example.org/cases.csv", "https://example.org/cases.csv"])
@pytest.mark.parametrize("there, says", [(True, "the proxy that is set wants a password (407)"),
                                         (False, "the proxy that is set does not answer")])
def test_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch, url: str, there: bool, says: str) -> None:
    server.answers = [ask_for_a_password]
    monkeypatch.setattr(Handler, "do_CONNECT", ask_for_a_password, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port if there else 1}")
    with pytest.raises(DownloadError, match=f"^{re.escape(says)}$"):
        fetch(url, "cache", "cases.csv", log=lambda line: None)
    assert files() == set()


def test_headers_that_trickle_are_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle_headers(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not handler.server.over.wait(0.02):
            handler.wfile.write(b"x")

    monkeypatch.setattr(download, "SLOW_SECONDS", 0.5)
    server.answers = [trickle_headers]
    with pytest.raises(DownloadError, match="cases.csv: no answer within 0.5 seconds$"):
        fetch(server.url, "cache", "cases.csv", log=lambda line: None)
    assert files() == set() and server.requests == 1


def test_a_bar_is_for_a_terminal_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    fetch(server.url, "cache", "cases.csv", log=lambda line: None)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    fetch(server.url, "again", "cases.csv", log=lambda line: None)
    assert "cases.csv" in capsys.readouterr().err
