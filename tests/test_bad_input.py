"""What is wrong, through the command line: one line on stderr that says where, exit status 2, and nothing written.

What is wrong with a file is tried out in tests/data; here, that it comes out of both studies in this way.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import run
from data import epidemic, faces
from tests.data.tables import PIVOT, SOURCE

RUN = Path(run.__file__).resolve()


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.delenv("NN_DATA", raising=False)
    monkeypatch.setattr(faces, "CACHE", tmp_path_factory.mktemp("cache"))


def files() -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The line that is printed; and that it is all that happens."""
    before = files()
    assert run.main(list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("run.py: ") and error.endswith("\n") and error.count("\n") == 1
    assert error[:-1].isprintable()
    assert files() == before
    return error


TABLES = {
    "empty": (b"", "is empty"),
    "commas": (b",,,\n,,,\n", "is empty"),
    "web page": (b"<!DOCTYPE html><html>", "is a web page"),
    "zip": (b"PK\3\4" + bytes(99), "is an archive"),
    "gzip": (gzip.compress(PIVOT.encode())[:-9], "is damaged"),
    "gzip of more than there may be": (gzip.compress(bytes(2**27 + 1)), "holds more than 134,217,728 bytes"),
    "Latin-1": (PIVOT.replace("Guyana", "Curaçao").encode("latin-1"), "row 5: not UTF-8"),
    "NUL": (PIVOT.replace("Guyana", "Guy\0ana"), "row 5: contains a NUL byte"),
    "one line": (b"1" * 10**6, "row 1: not CSV"),
    "open quote": (SOURCE.replace("Coast", '"Coast'), "row 4: not CSV"),
    "empty cell": (SOURCE.replace("600", ""), "row 3, column 8: '' is an empty cell"),
    "1e308": (PIVOT.replace("607", "1e308"), "row 5, column 7: '1e308'"),
    "inf": (SOURCE.replace("600", "inf"), "row 3, column 8: 'inf'"),
    "10**30": (PIVOT.replace("607", f"{10**30}"), "row 5, column 7: '1000"),
    "fraction": (SOURCE.replace("600", "0.5"), "row 3, column 8: '0.5'"),
    "negative": (PIVOT.replace("607", "-607"), "row 5, column 7: '-607'"),
    "formula": (PIVOT.replace("607", "=1+1"), "row 5, column 7: '=1+1'"),
    "gap": (SOURCE.replace("2/2/20", "2/3/20"), "row 1: no column for the days between"),
    "day twice": (PIVOT.replace("2/2/20", "2/1/20"), "row 1, column 7: '2/1/20'"),
    "column twice": (SOURCE.replace("Long", "Lat"), "row 1, column 4: 'Lat'"),
    "country twice": (PIVOT.replace("Guyana", '"Korea, South"'), "row 5, column 1: 'Korea, South'"),
    "escape": (PIVOT.replace("Guyana", "\x1b[31m"), r"row 5, column 1: '\x1b[31m'"),
    "few days": (PIVOT, "need L >= 1 and 4 days of new cases; there are 3"),
    "one country": (PIVOT.rpartition("Guyana")[0], "has a correlation above"),
    "no case at all": (PIVOT.replace("0,0,7,607", "0,0,0,0").replace("1,2,5,4", "0,0,0,0"), "has a correlation"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table(capsys: pytest.CaptureFixture, kind: str) -> None:
    content, says = TABLES[kind]
    Path("cases.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    threshold = "0.5" if "correlation" in says else "-1"
    error = refused(capsys, "covid", "--csv", "cases.csv", "--L", "3", "--threshold", threshold)
    assert says in error and ("cases.csv" in error or says.startswith(("need", "has a")))


@pytest.mark.parametrize("path, says", [
    ("folder", "folder: cannot be read: Is a directory"),
    ("missing.csv", "missing.csv: cannot be read: No such file"),
    ("itself.csv", "itself.csv: cannot be read: Too many levels"),
    ("secret.csv", "secret.csv: cannot be read: Permission denied"),
    ("/dev/zero", "/dev/zero: holds more than"),
    ("new\nline.csv", r"new\nline.csv: cannot be read"),
    ("\x1b[31m.csv", r"\x1b[31m.csv: cannot be read"),
    (os.fsdecode(b"\xff.csv"), r"\udcff.csv: cannot be read"),
])
def test_what_is_no_table(capsys: pytest.CaptureFixture, path: str, says: str) -> None:
    Path("folder").mkdir()
    Path("itself.csv").symlink_to("itself.csv")
    before = files()
    Path("secret.csv").write_text(PIVOT)
    Path("secret.csv").chmod(0)
    if root := os.geteuid() == 0:  # who feels no permissions
        Path().chmod(0o777)
        os.seteuid(65534)
    try:
        assert run.main(["covid", "--csv", path]) == 2
    finally:
        if root:
            os.seteuid(0)
    Path("secret.csv").unlink()
    error = capsys.readouterr().err
    assert error.startswith(f"run.py: {says}") and error.count("\n") == 1 and error[:-1].isprintable()
    assert files() == before


def test_names_that_look_like_something_else_are_names() -> None:
    epidemic.write_pivot(epidemic.simulate(0).iloc[-30:, :20], "cases.csv")
    text = Path("cases.csv").read_text()
    names = {"Algeria": "=1+1", "Angola": "<script>alert(1)</script>", "Bahrain": "Curaçao, an island"}
    for old, new in names.items():
        text = text.replace(old, f'"{new}"')
    Path("cases.csv").write_text(text)
    options = ["--epochs", "1", "--L", "3", "--threshold", "-1", "--out", "out"]
    assert run.main(["covid", "--csv", "cases.csv", *options]) == 0
    shown = {name.replace("=1+1", "'=1+1") for name in names.values()}  # a spreadsheet would compute it
    assert shown < set(pd.read_csv("out/probabilities.csv").iloc[:, 0])
    assert "<script>alert" not in Path("out/world_map.svg").read_text()


def picture(name: str = "a.png", grey: int = 0, size: tuple[int, int] = (40, 40)) -> None:
    noise = np.random.default_rng(grey).integers(0, 256, size[::-1], dtype=np.uint8)
    Image.fromarray(noise).save(Path("pictures", name))


def cut(name: str) -> None:
    picture(name)
    path = Path("pictures", name)
    path.write_bytes(path.read_bytes()[:200])


FOLDERS = {
    "none": (lambda: None, "pictures: holds no file"),
    "one": (picture, "images: 1 cannot be split"),
    "one, many times": (lambda: [picture(f"{i}.png") for i in range(9)], "images: 1 cannot be split"),
    "text": (lambda: Path("pictures/a.txt").write_text("hello"), "not an image that Pillow reads: 1"),
    "no byte": (lambda: Path("pictures/a.png").write_bytes(b""), "broken"),
    "cut": (lambda: cut("a.png"), "broken"),
    "JPEG, cut": (lambda: cut("a.jpg"), "broken"),
    "one pixel": (lambda: picture(size=(1, 1)), "smaller than 32 x 32 pixels: 1"),
    "a strip": (lambda: picture(size=(31, 5000)), "smaller than 32 x 32 pixels: 1"),
    "a link to itself": (lambda: Path("pictures/a.png").symlink_to("a.png"), "Too many levels of symbolic links"),
    "a line break in the name": (lambda: Path("pictures/a\nb.txt").write_text(""), r"(such as 'a\nb.txt')"),
    "bytes in the name": (lambda: Path("pictures", os.fsdecode(b"\xff.txt")).write_text(""), r"'\udcff.txt'"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_pictures(capsys: pytest.CaptureFixture, kind: str) -> None:
    make, says = FOLDERS[kind]
    Path("pictures").mkdir()
    make()
    assert says in refused(capsys, "vae", "--images", "pictures")


@pytest.mark.parametrize("path, says", [
    ("missing", "missing: No such file or directory"),
    ("file.png", "file.png: Not a directory"),
    ("", ": No such file or directory"),
    ("itself", "itself: Too many levels of symbolic links"),
    ("new\nline", r"new\nline: No such file or directory"),
])
def test_what_is_no_folder(capsys: pytest.CaptureFixture, path: str, says: str) -> None:
    Path("file.png").write_text("")
    Path("itself").symlink_to("itself")
    assert refused(capsys, "vae", "--images", path).startswith(f"run.py: {says}")


BOTH = ["--hidden 0", "--hidden -1", "--hidden 1000000", "--hidden 1e3", "--lr 0", "--lr -1", "--lr nan", "--lr inf",
        "--lr 1e308", "--epochs 0", "--epochs -1", "--epochs 99999999999", "--seed -1", "--seed 99999999999999999999",
        "--seed 0.5", "--out file", "--out file/below", "--out /proc/nothing", "--depth 3"]
COVID = ["--L 0", "--L -1", "--L 500", "--L 99999999999999999999", "--L nan", "--threshold 2", "--threshold -2",
         "--threshold 1", "--threshold nan", "--threshold inf", "--until yesterday", "--until 2020-02-30",
         "--until 0001-01-01", "--until 2019-01-01", "--until 2999-01-01", "--until 2020-W10-1", "--until ",
         "--layers 0", "--layers 99", "--cell cnn", "--split none", "--csv "]
VAE = ["--kl nan", "--kl -1", "--kl inf", "--kl 1e9", "--kl some", "--latent 0", "--latent -1", "--latent 99999",
       "--batch 0", "--batch -1", "--size 0", "--size -8", "--size 1000000", "--size 41"]


@pytest.mark.parametrize("command, option", [
    *(("covid", option) for option in BOTH + COVID), *(("vae", option) for option in BOTH + VAE),
])
def test_an_option(capsys: pytest.CaptureFixture, command: str, option: str) -> None:
    Path("file").write_text("")
    Path("pictures").mkdir()
    for i in range(4):
        picture(f"{i}.png", grey=i)
    given = ["--csv", "simulated"] if command == "covid" else ["--images", "pictures"]
    name, _, value = option.partition(" ")
    error = refused(capsys, command, *given, name, value)
    assert name.lstrip("-") in error or (value or ".") in error


def test_in_a_process() -> None:
    Path("file").write_text("<html>")
    done = subprocess.run([sys.executable, RUN, "covid", "--csv", "file"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "run.py: file: is a web page, not a CSV file\n"
    assert files() == {"file": b"<html>"}
