"""faces.html, the latent explorer: decoders that run in the browser, so that a code can be changed by hand.

The weights of the large layer are stored as int8 with a scale for each row, and compressed. decoder.js computes,
in the names of model.py; faces.js draws and listens.

Read next: tasks/study/command.py, both studies in one command.
"""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np

import nn
from tasks.vae.model import VAE, Layout, kl_of_latents

FACES = 12  # test images that can be decoded
MEASURED = 500  # test images over which the KL of a latent is the mean
DEAD = 0.01  # nats: a latent whose KL is below it is marked as dead
LIMIT = 7_850_000  # characters of all weights together, so that the page has at most 8 MB and opens at once


class Shown(NamedTuple):
    """A trained model and what it is called: "weight 1"."""

    name: str
    model: VAE
    layout: Layout


def faces_page(shown: list[Shown], test: np.ndarray, source: str, simulated: bool) -> str | None:
    """The HTML of the page; None if not even one decoder is small enough for it.

    test    test images (n, size, size, C) uint8

    Models are taken in their order as long as their weights fit; the page names those that are left out.
    """
    fitting, left_out, room = [], [], LIMIT
    for one in shown:
        large = one.model.output.weight.size > LIMIT
        described = None if large else described_model(one, test)
        if large or len(described["weights"]) > room:
            left_out.append(one.name)
        else:
            fitting.append(described)
            room -= len(described["weights"])
    if not fitting:
        return None
    layout, faces = shown[0].layout, test[:FACES]
    content = {"size": layout.size, "channels": layout.channels, "dead": DEAD,
               "models": [{key: value for key, value in one.items() if key != "weights"} for one in fitting],
               "faces": [base64.b64encode(face.tobytes()).decode() for face in faces]}
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )
    return templates.get_template("faces.html").render(
        content=content, weights=[one["weights"] for one in fitting], left_out=left_out, source=source,
        simulated=simulated, grey=any(one["rows"] > 1 for one in fitting), images=len(test))


@nn.no_grad()
def described_model(shown: Shown, test: np.ndarray) -> dict:
    """What the page holds of a model. Its latents are in the order of their KL, the largest first:

    order           the latents' own numbers;  kl: nats per row of the model
    mean, log_var   posteriors of the first FACES test images, (images, rows, Z)
    weights         see `packed`
    """
    name, model, layout = shown
    mean, log_var = (t.data for t in model.encode(nn.Tensor(layout.to_rows(test[:MEASURED]))))
    kl = kl_of_latents(mean, log_var)
    order = np.argsort(-kl, kind="stable")
    posterior = {key: t.reshape(-1, layout.rows, model.latent)[:FACES, :, order].astype(float).round(4).tolist()
                 for key, t in (("mean", mean), ("log_var", log_var))}
    return {"name": name, "rows": layout.rows, "hidden": model.decoder.weight.shape[0], "latent": model.latent,
            "width": layout.width, "kl": kl[order].round(4).tolist(), "order": order.tolist(), **posterior,
            "weights": packed(model, order)}


def packed(model: VAE, order: np.ndarray) -> str:
    """The decoder as base64 of gzip of: float32 decoder.weight (H, Z) with the latents in `order`, decoder.bias (H,),
    a scale for each hidden unit (H,), output.bias (D,), little-endian; and int8 output.weight / scale, transposed
    (H, D): a unit of the hidden layer is either 0, or its row is added.
    """
    W = model.output.weight.data.T
    scale = np.maximum(np.abs(W).max(axis=1), 1e-12) / 127
    floats = (model.decoder.weight.data[:, order], model.decoder.bias.data, scale, model.output.bias.data)
    content = b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in floats)
    content += np.ascontiguousarray(np.rint(W / scale[:, None]).astype(np.int8)).tobytes()
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()
