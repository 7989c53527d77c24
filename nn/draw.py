"""A picture of a graph: what a Tensor remembers, as SVG.

A graph is drawn from the top to the bottom: what was given, the ops, the result. Each op is one box, and a Tensor that
was made by hand is another. The layout is that of Sugiyama, Tagawa & Toda 1981, "Methods for visual understanding of
hierarchical system structures": layers by the longest path to the result; in each layer an order with few crossings;
then places near those of the neighbours.

Read next: gradcheck.py.
"""

from __future__ import annotations

import inspect
import itertools
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nn.backward import history
from nn.module import Module
from nn.tensor import Tensor

MOST = 200  # boxes in one picture: beyond that nobody can read it
CHARACTER, LINE, PADDING = 7.3, 16, 8  # pixels
GAP_X, GAP_Y = 20, 34

STYLE = """
.nn-graph text { font: 12px ui-monospace, monospace; fill: #1c1c1c; text-anchor: middle; }
.nn-graph .what { font-weight: bold; }
.nn-graph rect { stroke: #595959; fill: #fdfdfb; }
.nn-graph .op rect { fill: #dbe9f4; rx: 8px; }
.nn-graph .fused rect { stroke-width: 3; }
.nn-graph .constant rect { stroke-dasharray: 4 3; }
.nn-graph path { fill: none; stroke: #8a8a8a; stroke-width: 1.3; }
.nn-graph .head { fill: #8a8a8a; stroke: none; }
@media (prefers-color-scheme: dark) {
  .nn-graph text { fill: #e4e4e0; }
  .nn-graph rect { stroke: #a9a9a4; fill: #17181a; }
  .nn-graph .op rect { fill: #1f3a50; }
}
"""


class Box(NamedTuple):
    """One box of a picture. parents: the numbers of the boxes from which edges come; a Tensor used twice is twice."""

    kind: str
    lines: list[str]
    parents: list[int]


class Drawing:
    """The picture of a graph. Jupyter shows it by itself; svg: its text."""

    def __init__(self, svg: str):
        self.svg = svg

    def save(self, path) -> None:
        """Write an .svg file, which every browser opens."""
        Path(path).write_text(self.svg, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg


def draw(y: Tensor, names: dict | None = None) -> Drawing:
    """A picture of the graph of y: what it was computed from, and how.

        nn.draw(loss).save("loss.svg")          in Jupyter: nn.draw(loss)

    names       {name: Tensor, array, Module or a list of Tensors}, by default the variables of the caller. A parameter
                of the module `model` is called model.weight, an element of the list `h` is h[0]

    A box has a value of up to three numbers, or else a shape, and after `backward(retain_graph=True)` the gradient.
    Dashed: an input that needs no gradient. A fused op, a whole layer, is one box. Of a graph with more than 200 boxes
    the newest are drawn, and a box says how many are not.
    RuntimeError if a backward pass has taken the graph apart: draw before it, or use retain_graph=True.
    """
    if names is None:
        frame = inspect.currentframe().f_back
        names = {**frame.f_globals, **frame.f_locals}
    return Drawing(_svg(_boxes(y, names_of(names))))


# -- which boxes there are --------------------------------------------------------------------------------------


def names_of(variables: dict) -> dict[int, str]:
    """{id of a Tensor or array: its name}; of several names the first."""
    found = {}
    for name, value in variables.items():
        if isinstance(value, (Tensor, np.ndarray)) and not name.startswith("_"):
            found.setdefault(id(value), name)
        elif isinstance(value, (list, tuple)):
            found.update({id(x): f"{name}[{i}]" for i, x in enumerate(value)
                          if isinstance(x, Tensor) and id(x) not in found})
        elif isinstance(value, Module):
            for parameter, p in value.named_parameters():
                found.setdefault(id(p), f"{name}.{parameter}")
    return found


def graph(y: Tensor) -> list[tuple]:
    """(x, op, inputs) for y and all that it was computed from, oldest first.

    op is None for what was made by hand; inputs are the Tensors and arrays among the op's arguments.
    """
    found = {}
    for t in history(y):
        inputs = [] if t.node is None else [x for x in t.node.args if isinstance(x, (Tensor, np.ndarray))]
        for x in inputs:
            found.setdefault(id(x), (x, None, []))
        found[id(t)] = (t, None if t.node is None else t.node.pullback, inputs)
    return list(found.values())


def _boxes(y, names):
    """The boxes, oldest first."""
    rows = graph(y)
    hidden, rows = rows[:-MOST], rows[-MOST:]
    boxes = [Box("constant", [f"{len(hidden)} older boxes", "are not drawn"], [])] if hidden else []
    number = {id(x): len(boxes) + i for i, (x, _, _) in enumerate(rows)}
    for x, op, inputs in rows:
        lines, kind = [names[id(x)]] if id(x) in names else [], "op"
        if op is None:
            kind = "input" if isinstance(x, Tensor) and x.requires_grad else "constant"
            lines = lines or ["input" if kind == "input" else "data"]
        else:
            is_fused = op.__module__ == "nn.fused"
            called = f"result {x.node.args[1]}" if op.__name__ == "hand_on" else _call(op.__name__, x.node.args)
            lines = [" = ".join([*lines, called])]
            if is_fused and op.__name__ != "hand_on":
                kind, lines = "op fused", [*lines, "fused: a whole layer"]
        if x.shape != (0,):  # which stands for the several results of a fused op
            lines.append(_shown(x.data if isinstance(x, Tensor) else x))
        if isinstance(x, Tensor) and x.grad is not None:
            lines.append(f"grad {_shown(x.grad)}")
        boxes.append(Box(kind, lines, [number.get(id(p), 0) for p in inputs]))
    return boxes


def _call(name, args):
    """The op, with the numbers among its arguments: power(·, 2)."""
    shown = ["·" if isinstance(x, (Tensor, np.ndarray)) else str(x) for x in args]
    text = f"{name}({', '.join(shown)})"
    return text if any(x != "·" for x in shown) and len(text) < 28 else name


def _shown(array):
    """Up to three numbers, else the shape."""
    if array.size == 0 or array.size > 3:
        return "×".join(map(str, array.shape)) or "number"
    return np.array2string(array, formatter={"float": lambda v: f"{v:.4g}"}, separator=", ").replace("\n", "")


# -- where they stand -------------------------------------------------------------------------------------------


def _layers(boxes):
    """Layers from the top, each a list of points, and the edges as chains of points.

    A point is the number of a box, or, where an edge passes a layer, a tuple.
    """
    height = [0] * len(boxes)  # the longest path to the result
    for i in reversed(range(len(boxes))):
        for p in boxes[i].parents:
            height[p] = max(height[p], height[i] + 1)
    top = max(height)
    layers = [[] for _ in range(top + 1)]
    for i, h in enumerate(height):
        layers[top - h].append(i)
    chains = []
    for i, box in enumerate(boxes):
        for k, p in enumerate(box.parents):
            between = [(i, k, h) for h in range(height[p] - 1, height[i], -1)]
            for point in between:
                layers[top - point[2]].append(point)
            chains.append([p, *between, i])
    return layers, chains


def _neighbours(chains):
    above, below = {}, {}
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            above.setdefault(b, []).append(a)
            below.setdefault(a, []).append(b)
    return above, below


def _mean(values):
    values = list(values)  # np.mean takes longer than this for the two or three there are
    return sum(values) / len(values)


def _order(layers, above, below):
    """Sort each layer by the mean place of the neighbours, downwards and upwards, several times."""
    for turn in range(12):
        near, rows = (above, layers) if turn % 2 == 0 else (below, layers[::-1])
        place = {}
        for row in rows:
            wanted = {point: _mean(place[n] for n in near[point]) if point in near else i / len(row)
                      for i, point in enumerate(row)}
            row.sort(key=wanted.get)
            place.update({point: (i + 0.5) / len(row) for i, point in enumerate(row)})


def _places(layers, width, above, below):
    """The middle of each point: as near to the neighbours as the widths allow."""
    x = {}
    for row in layers:
        end = 0
        for point in row:
            x[point] = end + width(point) / 2
            end += width(point) + GAP_X
        for point in row:
            x[point] -= end / 2
    for turn in range(16):
        for row in layers if turn % 2 == 0 else layers[::-1]:
            near = above if turn % 2 == 0 else below
            wanted = [_mean(x[n] for n in near[point]) if point in near else x[point] for point in row]
            apart = [0, *((width(a) + width(b)) / 2 + GAP_X for a, b in itertools.pairwise(row))]
            offset = np.cumsum(apart)  # with the offsets taken away, the places of a row only have to increase
            wanted = np.array(wanted) - offset
            low, high = np.maximum.accumulate(wanted), np.minimum.accumulate(wanted[::-1])[::-1]
            x.update(zip(row, ((low + high) / 2 + offset).tolist(), strict=True))
    return x


def _svg(boxes):
    layers, chains = _layers(boxes)
    above, below = _neighbours(chains)
    _order(layers, above, below)

    def width(point):
        return 8 if isinstance(point, tuple) else max(map(len, boxes[point].lines)) * CHARACTER + 2 * PADDING

    def tall(point):
        return 0 if isinstance(point, tuple) else len(boxes[point].lines) * LINE + 2 * PADDING

    x = _places(layers, width, above, below)
    left = min(x[point] - width(point) / 2 for row in layers for point in row) - 4
    right = max(x[point] + width(point) / 2 for row in layers for point in row) + 4
    y, bottom = {}, 4.0
    for row in layers:
        tallest = max(map(tall, row))
        y.update(dict.fromkeys(row, bottom + tallest / 2))
        bottom += tallest + GAP_Y
    w, h = right - left, bottom - GAP_Y + 4
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" class="nn-graph" role="img" '
           f'aria-label="graph of {len(boxes)} boxes" width="{w:.0f}" height="{h:.0f}" '
           f'viewBox="{left:.0f} 0 {w:.0f} {h:.0f}">', f"<style>{STYLE}</style>"]
    arriving = {}  # {box: its edges from left to right}, which end side by side: two of `a + a` are seen as two
    for chain in sorted(chains, key=lambda chain: x[chain[-2]]):
        arriving.setdefault(chain[-1], []).append(chain)
    for end, edges in arriving.items():
        step = min(14, width(end) / (len(edges) + 1))
        for k, chain in enumerate(edges):
            ends = [(x[point], y[point]) for point in chain]
            ends[0] = (x[chain[0]], y[chain[0]] + tall(chain[0]) / 2)
            ends[-1] = (x[end] + (k - (len(edges) - 1) / 2) * step, y[end] - tall(end) / 2)
            out.append(_edge(chain, ends))
    for i, (kind, lines, _) in enumerate(boxes):
        out.append(f'<g class="{kind}" data-box="{i}"><rect x="{x[i] - width(i) / 2:.1f}" y="{y[i] - tall(i) / 2:.1f}" '
                   f'width="{width(i):.1f}" height="{tall(i)}"/>')
        for k, line in enumerate(lines):
            line_y = y[i] + (k - len(lines) / 2) * LINE + 12
            what = ' class="what"' if k == 0 else ""
            out.append(f'<text{what} x="{x[i]:.1f}" y="{line_y:.1f}">{escape(line)}</text>')
        out.append("</g>")
    return "\n".join([*out, "</svg>"])


def _edge(chain, points):
    """A curve through the points, and the head of an arrow at the last."""
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        path.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    x, y = points[-1]
    head = f"M{x - 4:.1f} {y - 7:.1f}L{x:.1f} {y:.1f}L{x + 4:.1f} {y - 7:.1f}Z"
    return (f'<g data-from="{chain[0]}" data-to="{chain[-1]}"><path d="{" ".join(path)}"/>'
            f'<path class="head" d="{head}"/></g>')
