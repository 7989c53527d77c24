"""The steps of a player: their numbers are those of nn."""

from __future__ import annotations

import numpy as np
import pytest

import nn
from data import BadInput
from tasks.explain.trace import play, run_code, shown

TWICE = "a = Tensor(3.0, True)\nb = a + a\nc = b + b"


def made(code, **options):
    return play(*run_code(code), **options).steps


def test_a_forward_and_a_backward_pass():
    assert [(step.kind, step.title) for step in made(TWICE)] == [
        ("given", "What is given"), ("forward", "b = add"), ("forward", "c = add"),
        ("backward", "The gradient of c with respect to itself is 1"), ("backward", "Back through c = add"),
        ("backward", "Back through b = add"), ("end", "a was made by hand: its gradient is complete")]
    assert [step.sums for step in made(TWICE) if step.sums] == [
        [("gradient of b", "1"), ("gradient of b", "1 + 1 = 2")],
        [("gradient of a", "2"), ("gradient of a", "2 + 2 = 4")]]


def test_a_wrong_order_gives_a_wrong_answer():
    last = made(TWICE, wrong_order=True)[-1]
    assert last.values == [("a.grad, wrong", "6"), ("the right one", "4")]


@pytest.mark.parametrize("code", [
    "x = Tensor([2.0, 3.0], True, float)\nW = Tensor([[1.0, -1.0], [0.5, 2.0]], True, float)\n"
    "y = ((x @ W - 1.0) / x + x**2 * -W[0]).sum()",
    "x = Tensor([[1.0], [2.0]], True, float)\nW = Tensor([10.0, 20.0, 5.0], True, float)\n(x * W)",
    "x = Tensor([[[0.5], [1.0]]], True, float)\nW = Tensor([[0.5]], True, float)\nz = np.zeros(1)\n"
    "h, h_n = nn.sequence.rnn(x, np.zeros((1, 1)), W, np.ones((1, 1)), z, z)\nh.sum() + h_n.sum()",
])
def test_the_gradients_are_those_of_backward(code):
    steps = made(code)
    y, variables = run_code(code)
    y.backward(np.ones_like(y.data))
    found = {name: text for step in steps if step.kind == "end" for name, text in step.values}
    assert found == {f"{name}.grad": shown(variables[name].grad) for name in "xW"}


def test_the_last_contribution_makes_the_gradient_complete():
    steps = made("x = Tensor(0.7, True, float)\ny = exp(x) * x + sin(x)")
    sums = [text for step in steps for name, text in step.sums if name == "gradient of x"]
    assert len(sums) == 3 and sums[-1].endswith(f"= {np.exp(0.7) * 1.7 + np.cos(0.7):.5g}")


def test_edges_lead_to_boxes_of_the_picture():
    drawn = play(*run_code(TWICE))
    for step in drawn.steps:
        for start, end in step.edges:
            assert f'data-from="{start}" data-to="{end}"' in drawn.svg


def test_a_long_array_is_its_shape_and_norm():
    assert shown(np.ones((3, 5))) == "3×5 numbers, norm 3.873"
    assert shown(nn.Tensor([-0.0, 1 / 3])) == "[0, 0.33333]"


@pytest.mark.parametrize("code, says", [
    ("x = 1 +", "--code, line 1: not Python"),
    ("x = Tensor(1.0, True)\ny = x + nothing", "--code, line 2: NameError: name 'nothing' is not defined"),
    ("x = Tensor(1.0)\nx * 2", "has to be a Tensor that needs a gradient"),
    ("def f(): pass", "has to be an expression"),
    ("", "has to be an expression"),
])
def test_code_that_cannot_be_played(code, says):
    with pytest.raises(BadInput, match=says):
        run_code(code)


def test_a_graph_that_is_too_large_is_refused():
    with pytest.raises(BadInput, match="302 boxes"):
        made("x = Tensor(1.0, True)\ny = x\nfor _ in range(300):\n    y = sin(y)\ny = -y")
