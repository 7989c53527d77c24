"""A file from the network, downloaded once: verified, cached, never half-written. Built on pooch.

Read next: lock.py, one process at a time.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
import urllib3
from rich.console import Console
from rich.progress import Progress
from urllib3.exceptions import ReadTimeoutError

from data import BadInput, replacing
from data.lock import locked

TIMEOUT = (3, 10)  # seconds to connect, seconds without a byte
SLOW_SECONDS = 20  # that a transfer may be slow
SLOWEST = 1000  # bytes a second, on average, after that
RETRIES = 2
NO_PASSWORD = "the proxy that is set wants a password (407)"

pooch.get_logger().setLevel("WARNING")  # messages go through `log`


class DownloadError(OSError):
    """The file cannot be downloaded; the message is one line without a full stop."""


def fetch(
    url: str,
    folder: str | Path,
    name: str,
    *,
    known_hash: str | None = None,
    check: Callable[[Path], object] | None = None,
    log: Callable[[str], None] = print,
) -> Path:
    """Download `url` to folder/name; later calls return the cached file without a request.

    known_hash  SHA-256 in hex. Without it the checksum at first use is kept in folder/name.sha256, and
                required from then on, of the cached file and of a new download.
    check       reads the file at a path and raises BadInput when it is not what it should be, as when a
                login page comes in place of a table. It checks a download before the file is put into the cache.

    A failure of the server and a broken transfer are retried twice. Timeouts, very slow transfers and 4xx answers are
    not retried.
    Raises DownloadError when the file cannot be downloaded, BadInput when the cached file changed since first use.
    """
    path, record = Path(folder, name), Path(folder, f"{name}.sha256")
    try:
        if not (path.exists() and (known_hash or record.exists())):  # else nothing is written
            with locked(path.parent, log):  # a second process waits, and finds what the first one downloaded
                if known_hash is None and record.exists():
                    known_hash = record.read_text().strip()
                if not path.exists():
                    log(f"Downloading {url}")
                    _download(url, path, known_hash, check)
                elif known_hash is None and check is not None:
                    check(path)
                if known_hash is None:
                    with replacing(record) as beside:
                        beside.write_text(pooch.file_hash(str(path)) + "\n")
        known_hash, found = known_hash or record.read_text().strip(), pooch.file_hash(str(path))
    except DownloadError:
        raise
    except OSError as error:
        kind = BadInput if path.exists() else DownloadError
        raise kind(f"{error.filename or path}: {error.strerror or error}") from None
    if known_hash != found:
        raise BadInput(
            f"{path}: has changed since it was first used (its SHA-256 is {found[:12]}..., not "
            f"{known_hash[:12]}...): delete it to download it again"
        )
    return path


def _download(url: str, path: Path, known_hash: str | None, check: Callable[[Path], object] | None) -> None:
    """Pooch writes beside `path`, verifies, moves; it tries again after ValueError and errors of requests."""

    def transfer_and_check(url: str, beside: str, _: pooch.Pooch) -> None:
        try:
            _transfer(url, Path(beside), path.name)
        except requests.exceptions.SSLError:
            raise DownloadError(f"the certificate of {urlsplit(url).netloc} is not trusted here") from None
        except requests.exceptions.ProxyError as error:
            why = NO_PASSWORD if "407" in str(error) else "the proxy that is set does not answer"
            raise DownloadError(why) from None
        except (requests.ConnectionError, requests.Timeout, ReadTimeoutError):
            raise DownloadError(f"no connection to {urlsplit(url).netloc}") from None
        except requests.HTTPError as error:
            answer = error.response
            if answer.status_code >= 500:
                raise
            if answer.status_code == 407:
                raise DownloadError(NO_PASSWORD) from None
            raise DownloadError(f"{url}: {answer.status_code} {answer.reason}") from None
        except urllib3.exceptions.HTTPError as error:
            raise requests.RequestException(error) from None
        if check is not None:
            try:
                check(Path(beside))
            except BadInput as error:
                raise DownloadError(str(error).replace(beside, url)) from None

    store = pooch.create(
        path=path.parent,
        base_url="",
        registry={path.name: known_hash},
        urls={path.name: url},
        retry_if_failed=RETRIES,
    )
    try:
        store.fetch(path.name, downloader=transfer_and_check)
    except DownloadError:
        raise
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {error}") from None
    except ValueError:
        raise DownloadError(f"{url}: the file does not have the expected SHA-256 {known_hash}") from None
    except OSError as error:
        raise DownloadError(f"{path.parent}: {error.strerror or error}") from None


def _answer(url: str) -> requests.Response:
    """The answer up to its headers, within SLOW_SECONDS altogether. The timeouts of requests are for each read of a few
    bytes.
    """
    answers = queue.SimpleQueue()

    def ask():
        try:
            answers.put(requests.get(url, stream=True, timeout=TIMEOUT))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()  # which a server may hold for ever
    try:
        answer = answers.get(timeout=SLOW_SECONDS)
    except queue.Empty:
        raise DownloadError(f"{url}: no answer within {SLOW_SECONDS} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _transfer(url: str, path: Path, title: str) -> None:
    """Write the body of the answer to a file; on a terminal a bar with this title shows the progress."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with _answer(url) as answer, path.open("wb") as file, bar:
        answer.raise_for_status()
        task = bar.add_task(title, total=answer.raw.length_remaining)
        start = time.monotonic()
        while chunk := answer.raw.read1(2**16, decode_content=True):  # read would wait for all of them
            file.write(chunk)
            bar.update(task, completed=answer.raw.tell())
            seconds = time.monotonic() - start
            if seconds > SLOW_SECONDS and file.tell() < SLOWEST * seconds:
                raise DownloadError(f"{url}: arrives at less than {SLOWEST:,} bytes a second")
