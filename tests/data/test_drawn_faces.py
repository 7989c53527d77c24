"""The drawn faces: the same for one seed, every factor to be seen in the picture, drawn once and kept whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from data import drawn_faces, painting
from data.drawn_faces import FACTORS, draw_face, draw_factors, load_drawn_faces, save

CHOICES = {name: kind for name, kind in FACTORS.items() if isinstance(kind, dict)}
NUMBERS = {name: kind for name, kind in FACTORS.items() if name not in CHOICES}

# Where a factor is seen: left, top, right, bottom. Those not named here change the whole picture.
EYES, BROWS, MOUTH = (13, 29, 52, 49), (15, 26, 49, 36), (24, 46, 40, 58)
PLACES = {
    "skin": (10, 24, 54, 64), "face_width": (10, 20, 54, 60), "blush": (13, 42, 53, 53), "fringe": (12, 9, 53, 40),
    "eye_hue": EYES, "gaze_x": EYES, "gaze_y": EYES, "eye_size": EYES, "eye_open": EYES, "glasses": EYES,
    "brow_slant": BROWS, "brow_height": BROWS, "smile": MOUTH, "mouth_open": MOUTH, "mouth_width": MOUTH,
    "clothes_hue": (8, 56, 56, 64),
}


def pixels(factors) -> np.ndarray:
    return np.array(draw_face(factors)).astype(int)


@pytest.fixture
def plain() -> dict[str, float]:
    """A face in the middle of everything, lit from the right so that the strength of the light shows."""
    return {name: 0 if name in CHOICES else sum(kind) / 2 for name, kind in FACTORS.items()} | {"light_side": 0.6}


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack([np.array(draw_face(row)) for row in draw_factors(500, seed=0).to_dict("records")])


def test_one_seed_is_the_same_faces_whoever_draws_them(faces):
    count = 101  # more than the portion of one worker
    for workers in (1, 2):
        images, factors = drawn_faces.drawn_faces(count, seed=0, workers=workers)
        assert images.dtype == np.uint8 and images.shape == (count, 64, 64, 3)
        np.testing.assert_array_equal(images, faces[:count])
        pd.testing.assert_frame_equal(factors, draw_factors(count, seed=0))


def test_another_seed_is_other_faces(faces):
    assert not draw_factors(5, seed=0).equals(draw_factors(5, seed=1))
    assert (pixels(draw_factors(1, seed=1).to_dict("records")[0]) != faces[0]).any()


def test_more_faces_begin_with_the_same_ones():
    pd.testing.assert_frame_equal(draw_factors(100, seed=3).head(10), draw_factors(10, seed=3))


def test_factors_lie_in_their_ranges_and_fill_them():
    factors = draw_factors(2000, seed=0)
    assert list(factors) == list(FACTORS)
    for name, (low, high) in NUMBERS.items():
        edge = 0.01 * (high - low)
        assert low <= factors[name].min() < low + edge and high - edge < factors[name].max() <= high
    for name, weights in CHOICES.items():
        share = factors[name].value_counts(normalize=True).sort_index()
        assert list(share.index) == list(range(len(weights)))
        np.testing.assert_allclose(share, np.array(list(weights.values())) / sum(weights.values()), atol=0.04)


def test_factors_are_independent():
    correlation = draw_factors(2000, seed=0).corr().to_numpy() - np.eye(len(FACTORS))
    assert np.abs(correlation).max() < 0.1


def test_no_two_faces_are_equal(faces):
    assert len({face.tobytes() for face in faces}) == len(faces)


def test_faces_differ_from_their_mean_but_share_a_frame(faces):
    spread = faces.std(axis=0).mean(axis=-1)
    assert spread.min() > 5  # nothing stands still
    middle = faces.mean(axis=(0, 3))
    assert middle[38:44, 18:28].mean() < middle[46:49, 30:34].mean() - 10  # an eye is darker than the place by the nose


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_seen_where_it_belongs(plain, name):
    low, high = NUMBERS[name]
    if name.endswith("hue"):
        high = 0.5  # the other side of the circle
    hold(pixels(plain | {name: high}) - pixels(plain | {name: low}), PLACES.get(name))


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_is_seen_where_it_belongs(plain, name):
    drawn = [pixels(plain | {name: number}) for number in range(len(CHOICES[name]))]
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            hold(one - other, PLACES.get(name))


def hold(difference: np.ndarray, place: tuple[int, int, int, int] | None) -> None:
    """More than 15 pixels changed visibly, and none outside the place."""
    assert (np.abs(difference).max(axis=-1) > 8).sum() > 15
    if place:
        left, top, right, bottom = place
        difference[top:bottom, left:right] = 0
        assert not difference.any()


def test_a_small_step_is_a_small_change(plain):
    for name, (low, high) in NUMBERS.items():
        step = 0.01 * (high - low)
        assert np.abs(pixels(plain | {name: plain[name] + step}) - pixels(plain)).mean() < 1.5, name


def test_a_larger_picture_is_the_same_face(plain):
    large = draw_face(plain, size=128)
    assert large.size == (128, 128) and large.mode == "RGB"
    assert np.abs(np.array(large.reduce(2)).astype(int) - pixels(plain)).mean() < 6


class Drawn:
    """Stands in for `drawn_faces`, without processes; counts the calls."""

    calls = 0

    def __call__(self, count, seed, workers):
        self.calls += 1
        factors = draw_factors(count, seed)
        return np.stack([np.array(draw_face(row)) for row in factors.to_dict("records")]), factors


@pytest.fixture
def drawn(monkeypatch) -> Drawn:
    stand_in = Drawn()
    monkeypatch.setattr(drawn_faces, "drawn_faces", stand_in)
    return stand_in


def load(lines: list[str], count: int = 5, seed: int = 2) -> tuple[np.ndarray, pd.DataFrame]:
    return load_drawn_faces(count, seed, cache="cache", log=lines.append)


def test_faces_are_drawn_once(drawn):
    lines = []
    first, again = load(lines), load(lines)
    assert drawn.calls == 1 and lines == ["Drawing 5 faces (seed 2), once"]
    np.testing.assert_array_equal(first[0], again[0])
    pd.testing.assert_frame_equal(first[1], again[1])


def test_other_faces_are_drawn_anew(drawn, monkeypatch, tmp_path):
    load([])
    load([], count=6)
    load([], seed=3)
    monkeypatch.setattr(drawn_faces.Image, "__version__", "0")
    load([])
    edited = tmp_path / "drawn_faces.py"
    edited.write_bytes(Path(drawn_faces.__file__).read_bytes() + b"\n")
    for calls, module in ((5, drawn_faces), (6, painting)):
        monkeypatch.setattr(module, "__file__", str(edited))
        load([])
        assert drawn.calls == calls


def test_faces_that_cannot_be_kept_are_used_all_the_same(drawn):
    Path("cache").write_text("a file where the folder should be")
    lines = []
    images, factors = load(lines)
    assert len(images) == len(factors) == 5 and "not kept" in lines[-1]


def damage_truncate(folder: Path) -> None:
    os.truncate(folder / "images.npz", 1000)


def damage_empty(folder: Path) -> None:
    os.truncate(folder / "images.npz", 0)


def damage_flip(folder: Path) -> None:
    raw = bytearray((folder / "images.npz").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "images.npz").write_bytes(raw)


def damage_method(folder: Path) -> None:
    raw = bytearray((folder / "images.npz").read_bytes())
    raw[8] = raw[raw.index(b"PK\1\2") + 10] = 8  # said to be compressed
    raw[raw.index(b"\x93NUMPY")] = 7  # which begins no block of that kind
    (folder / "images.npz").write_bytes(raw)


def damage_text(folder: Path) -> None:
    (folder / "images.npz").write_text("these are no images")


def damage_name(folder: Path) -> None:
    np.savez(folder / "images.npz", other=np.zeros(3))


def damage_shape(folder: Path) -> None:
    np.savez(folder / "images.npz", images=np.zeros((5, 64, 64), np.uint8))


def damage_factors(folder: Path) -> None:
    draw_factors(5, seed=9).to_csv(folder / "factors.csv", index=False)


def damage_no_factors(folder: Path) -> None:
    (folder / "factors.csv").unlink()


@pytest.mark.parametrize("damage", [damage_truncate, damage_empty, damage_flip, damage_method, damage_text, damage_name,
                                    damage_shape, damage_factors, damage_no_factors])
def test_damaged_faces_are_drawn_again(drawn, damage):
    images, _ = load([])
    (folder,) = Path("cache").iterdir()
    damage(folder)
    lines = []
    again, _ = load(lines)
    assert drawn.calls == 2 and len(lines) == 2 and str(folder) in lines[0] and lines[0].endswith("drawn again")
    np.testing.assert_array_equal(images, again)
    load([])
    assert drawn.calls == 2  # what was damaged is whole again


def test_what_is_saved_is_read_with_numpy_and_pandas_alone():
    factors = draw_factors(4, seed=0)
    images = np.arange(4 * 64 * 64 * 3).astype(np.uint8).reshape(4, 64, 64, 3)
    save("faces", images, factors)
    assert sorted(path.name for path in Path("faces").iterdir()) == ["factors.csv", "images.npz"]
    np.testing.assert_array_equal(np.load("faces/images.npz")["images"], images)
    pd.testing.assert_frame_equal(pd.read_csv("faces/factors.csv"), factors)


def test_a_write_that_fails_leaves_what_was_there(monkeypatch):
    factors, images = draw_factors(2, seed=0), np.zeros((2, 64, 64, 3), np.uint8)
    save("faces", images, factors)

    def full_disk(path, images):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space"):
        save("faces", images + 1, factors)
    with np.load("faces/images.npz") as file:
        np.testing.assert_array_equal(file["images"], images)


def test_the_bar_is_for_a_terminal_alone(monkeypatch, capsys):
    drawn_faces.drawn_faces(1, workers=1)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(drawn_faces, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=80))
    drawn_faces.drawn_faces(1, workers=1)
    out, err = capsys.readouterr()
    assert out == "" and "drawing faces" in err
