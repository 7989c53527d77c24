"""Recipes: what is not a layer of nn, as it is written with the ops that exist. The README shows the same four.

Each is checked with its parameters by gradcheck, and against a loop or a formula in plain numpy.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import nn


# recipes: begin
def embed(table, index):
    """Rows of a table (K, F) by whole numbers of any shape: (...) -> (..., F)."""
    return table[index]


def attention(query, key, value):
    """Scaled dot products: query (N, L, D), key (N, M, D), value (N, M, F) -> (N, L, F). Vaswani et al. 2017."""
    weights = nn.softmax(query @ key.mT / math.sqrt(query.shape[-1]))
    return weights @ value


def batch_norm(x, weight, bias, eps=1e-5):
    """Batch normalisation in training: x (N, F), weight and bias (F,) -> (N, F). Ioffe & Szegedy 2015."""
    centred = x - nn.mean(x, 0, keepdims=True)
    return centred / nn.sqrt(nn.var(x, 0, keepdims=True) + eps) * weight + bias


def convolution(x, weight):
    """3 x 3, padded with 0: x (N, H, W, C), weight (3, 3, C, O) -> (N, H, W, O), as nine products of slices."""
    N, H, W, C = x.shape
    padded = nn.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    return sum(padded[:, i:i + H, j:j + W] @ weight[i, j] for i in range(3) for j in range(3))
# recipes: end


rng = np.random.default_rng(0)
INDEX = np.array([[1, 4, 1], [0, 1, 4]])
X, WEIGHT = rng.standard_normal((2, 5, 7, 3)), rng.standard_normal((3, 3, 3, 2))
Q, K, V = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 7, 5)), rng.standard_normal((2, 7, 4))


def convolution_by_loops(x, weight):
    N, H, W, _ = x.shape
    y = np.zeros((N, H, W, weight.shape[-1]))
    for n, h, w in np.ndindex(N, H, W):
        for i, j in np.ndindex(3, 3):
            if 0 <= h + i - 1 < H and 0 <= w + j - 1 < W:
                y[n, h, w] += x[n, h + i - 1, w + j - 1] @ weight[i, j]
    return y


def attention_by_loops(q, k, v):
    scores = np.exp(np.einsum("nld,nmd->nlm", q, k) / np.sqrt(q.shape[-1]))
    return np.einsum("nlm,nmf->nlf", scores / scores.sum(-1, keepdims=True), v)


RECIPES = {
    "embed": (lambda table: embed(table, INDEX), (rng.standard_normal((5, 3)),), lambda table: table[INDEX]),
    "attention": (attention, (Q, K, V), attention_by_loops),
    "batch_norm": (batch_norm, (rng.standard_normal((5, 3)), rng.standard_normal(3), rng.standard_normal(3)),
                   lambda x, w, b: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * w + b),
    "convolution": (convolution, (X, WEIGHT), convolution_by_loops),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_right_with_its_gradients(name):
    recipe, inputs, expected = RECIPES[name]
    np.testing.assert_allclose(recipe(*map(nn.Tensor, inputs)).data, expected(*inputs), rtol=1e-12)
    assert nn.gradcheck(recipe, *inputs, order=2) <= 1e-7


def test_the_readme_shows_these_recipes():
    here, readme = Path(__file__), Path(__file__).parents[2] / "README.md"
    recipes = re.search("# recipes: begin\n(.*?)# recipes: end", here.read_text(), re.DOTALL)[1]
    assert f"```python\n{recipes.strip()}\n```\n" in readme.read_text()
