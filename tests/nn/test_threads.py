"""Two threads give the bits of one, whatever the BLAS does, and what fails in the second one is not lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import nn
from nn import threads

N, I, O = 67, 521, 523  # more than LARGE multiplications


@pytest.fixture(autouse=True)
def one_again():
    yield
    nn.set_num_threads(1)


def trained(count):
    """The weights after three steps of a large layer."""
    nn.set_num_threads(count)
    rng = np.random.default_rng(0)
    x = nn.Tensor(rng.standard_normal((N, I)), dtype=np.float32)
    model = nn.Sequential(nn.Linear(I, O, rng=rng), nn.Tanh(), nn.Linear(O, I, rng=rng))
    optimizer = nn.AdamW(model.parameters())
    with threadpool_limits(1):
        for _ in range(3):
            optimizer.zero_grad()
            nn.mse_loss(model(x), x).backward()
            optimizer.step()
    return optimizer.data.tobytes()


def test_the_layer_is_large_and_so_is_the_step(monkeypatch):
    assert N * I * O >= threads.LARGE
    seen = set()
    monkeypatch.setattr(threads.np, "matmul", lambda *arguments, matmul=np.matmul:
                        seen.add(threading.current_thread()) or matmul(*arguments))
    monkeypatch.setattr(nn.AdamW, "update", lambda self, *arguments, update=nn.AdamW.update:
                        seen.add((threading.current_thread(), "step")) or update(self, *arguments))
    trained(2)
    assert len(seen) == 4  # two threads, in both
    seen.clear()
    trained(1)
    assert len(seen) == 2


def test_no_bit_depends_on_the_threads():
    assert trained(2) == trained(1)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float64, np.float64), (np.float32, np.float64)])
def test_a_large_product_in_halves_is_the_product(rng, dtypes):
    a, b = (rng.standard_normal(shape).astype(dtype) for shape, dtype in zip(((N, I), (I, O)), dtypes, strict=True))
    nn.set_num_threads(2)
    for x, y in ((a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b)), (a[::-1], b[:, ::-1])):
        found = threads.product(x, y)
        assert found.dtype == np.result_type(*dtypes) and found.flags.c_contiguous
        np.testing.assert_allclose(found, x @ y, rtol=1e-4, atol=1e-4)


def test_many_threads_may_ask_at_once(rng):
    nn.set_num_threads(2)
    pairs = [(rng.standard_normal((N, I)), rng.standard_normal((I, O))) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for found, (a, b) in zip(pool.map(lambda pair: threads.product(*pair), pairs * 5), pairs * 5, strict=True):
            np.testing.assert_allclose(found, a @ b)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("wrong", ["one", "other"])
def test_an_error_in_either_half_is_raised(count, wrong):
    def fail_at(which):
        if which == wrong:
            raise FloatingPointError(which)

    nn.set_num_threads(count)
    with pytest.raises(FloatingPointError, match=wrong):
        threads.halves(fail_at, ("one",), ("other",))


@pytest.mark.parametrize("count", [0, 3, None])
def test_other_numbers_are_refused(count):
    with pytest.raises(ValueError, match="1 or 2 threads"):
        nn.set_num_threads(count)


# -- blocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("shape", [(10,), (7, 3), (1, 5), (0, 3), (3, 0), (11, 2, 2)])
def test_blocks_cover_every_row_once(shape, count, monkeypatch):
    monkeypatch.setattr(threads, "BLOCK", 4)
    nn.set_num_threads(count)
    x, y = np.arange(np.prod(shape), dtype=float).reshape(shape), np.zeros(shape)
    sizes = []

    def double(x, y):
        sizes.append(x.size)
        y += 2 * x

    threads.in_blocks(double, x, y)
    np.testing.assert_array_equal(y, 2 * x)
    assert sum(sizes) == x.size and all(size <= 4 for size in sizes if size != x[:1].size)


def test_many_blocks_are_shared_out_and_few_are_not(monkeypatch):
    monkeypatch.setattr(threads, "BLOCK", 5)
    nn.set_num_threads(2)
    for rows, helpers in ((3, 1), (20, 2)):
        seen = set()

        def note(x, seen=seen):
            seen.add(threading.current_thread())
            time.sleep(0.001)

        threads.in_blocks(note, np.zeros((rows, 5)))
        assert len(seen) == helpers


def test_a_loss_in_blocks_is_the_loss(rng, monkeypatch):
    x, t = rng.normal(scale=4, size=(13, 7)), rng.random((13, 7))
    x[2, 3], x[5, 1], x[11, 0] = np.inf, -np.inf, 400
    t[2, 3], t[5, 1] = 1, 0
    whole = nn.binary_cross_entropy_with_logits(x, t, "none")
    monkeypatch.setattr(threads, "BLOCK", 10)
    for count in (1, 2):
        nn.set_num_threads(count)
        np.testing.assert_allclose(nn.binary_cross_entropy_with_logits(x, t, "none"), whole, rtol=1e-14)
    assert np.isfinite(whole).all() and whole[2, 3] == whole[5, 1] == 0 and whole[11, 0] == 400 * (1 - t[11, 0])
