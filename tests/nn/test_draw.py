"""The picture of a graph: which boxes and edges it has, and that they do not overlap."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import nn

SVG = "{http://www.w3.org/2000/svg}"


def read(drawing):
    """The boxes, {number: (kind, lines, (x, y, width, height))}, and the edges, pairs of numbers."""
    root = ElementTree.fromstring(drawing.svg)
    boxes = {}
    for g in root.iter(f"{SVG}g"):
        if "data-box" in g.attrib:
            rect = g.find(f"{SVG}rect")
            boxes[int(g.attrib["data-box"])] = (
                g.attrib["class"], [text.text for text in g.iter(f"{SVG}text")],
                tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height")))
    edges = [(int(g.attrib["data-from"]), int(g.attrib["data-to"])) for g in root.iter(f"{SVG}g")
             if "data-from" in g.attrib]
    return boxes, edges


def test_names_values_and_both_edges_of_a_sum():
    a = nn.Tensor([1.0, 2.0], requires_grad=True)
    b = a + a
    boxes, edges = read(nn.draw(b))
    assert [(kind, lines) for kind, lines, _ in boxes.values()] == [
        ("input", ["a", "[1, 2]"]), ("op", ["b = add", "[2, 4]"])]
    assert edges == [(0, 1), (0, 1)]


def test_the_gradient_is_shown_where_there_is_one():
    a = nn.Tensor(3.0, requires_grad=True)
    y = a**2
    assert not any("grad" in line for _, lines, _ in read(nn.draw(y))[0].values() for line in lines)
    y.backward(retain_graph=True)
    assert [lines for _, lines, _ in read(nn.draw(y))[0].values()] == [["a", "3", "grad 6"], ["y = pow(·, 2)", "9"]]


def test_parameters_have_the_name_of_their_module_and_data_is_dashed():
    model = nn.Linear(3, 4)
    y = model(np.ones((5, 3), np.float32))
    found = {lines[0]: (kind, lines[1:]) for kind, lines, _ in read(nn.draw(y))[0].values()}
    assert found == {"model.weight": ("input", ["4×3"]), "model.bias": ("input", ["4"]), "data": ("constant", ["5×3"]),
                     "y = linear": ("op", ["5×4"])}


def test_names_can_be_given():
    a = nn.Tensor(1.0, requires_grad=True)
    assert read(nn.draw(nn.exp(a), {"<rate>": a}))[0][0][1][0] == "<rate>"


def test_elements_of_a_list_and_arrays_have_names_too():
    x, h = np.ones(5), [nn.Tensor(np.zeros(5), requires_grad=True)]
    h.append(h[0] * x)
    assert [lines[0] for _, lines, _ in read(nn.draw(h[1]))[0].values()] == ["h[0]", "x", "h[1] = multiply"]


def test_a_fused_op_is_one_box_that_says_so():
    layer = nn.LSTM(3, 2)
    h, (h_n, c_n) = layer(np.ones((5, 7, 3), np.float32))
    boxes, edges = read(nn.draw(h.sum() + c_n.sum()))
    fused = [(number, lines) for number, (kind, lines, _) in boxes.items() if kind == "op fused"]
    assert [lines for _, lines in fused] == [["lstm", "fused: a whole layer"]]
    results = {boxes[end][1][0] for start, end in edges if start == fused[0][0]}
    assert results == {"result 0", "result 2"}


def test_a_graph_that_is_too_large_is_cut_and_says_so():
    y = a = nn.Tensor(0.5, requires_grad=True)
    for _ in range(300):
        y = nn.sin(y)
    boxes, edges = read(nn.draw(y, {"a": a}))
    assert boxes[0][1] == ["101 older boxes", "are not drawn"] and len(boxes) == 201
    assert sorted(edges) == [(i, i + 1) for i in range(200)]


def test_the_graph_of_a_gradient_can_be_drawn():
    x = nn.Tensor(2.0, requires_grad=True)
    dx = nn.grad(nn.exp(x), x, create_graph=True)
    assert "multiply" in nn.draw(dx).svg


@pytest.mark.parametrize("seed", range(3))
def test_boxes_do_not_overlap_and_edges_go_down(seed):
    rng = np.random.default_rng(seed)
    made = [nn.Tensor(rng.standard_normal(3), requires_grad=True) for _ in range(5)]
    for _ in range(60):
        i, j = rng.integers(max(0, len(made) - 12), len(made), 2)
        made.append(made[i] * made[j])
    y = nn.sum(nn.stack(made))
    boxes, edges = read(nn.draw(y))
    places = [place for _, _, place in boxes.values()]
    for k, (x, y, w, h) in enumerate(places):
        assert not any(x < x1 + w1 and x1 < x + w and y < y1 + h1 and y1 < y + h for x1, y1, w1, h1 in places[:k])
    assert all(boxes[start][2][1] < boxes[end][2][1] for start, end in edges)


def test_text_fits_its_box_and_the_boxes_fit_the_picture():
    a_rather_long_name = nn.Tensor(np.ones((2, 3)), requires_grad=True)
    drawing = nn.draw(a_rather_long_name.sum())
    left, top, width, height = map(float, re.search(r'viewBox="([^"]*)"', drawing.svg)[1].split())
    for _, lines, (x, y, w, h) in read(drawing)[0].values():
        assert w >= 7.2 * max(map(len, lines)) and left <= x and x + w <= left + width and top <= y <= height - h


def test_save_and_jupyter(tmp_path):
    drawing = nn.draw(nn.Tensor(1.0, requires_grad=True) * 2)
    drawing.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == drawing._repr_svg_() == drawing.svg


def test_a_graph_that_was_taken_apart_cannot_be_drawn():
    y = nn.exp(nn.Tensor(1.0, requires_grad=True))
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        nn.draw(y)
