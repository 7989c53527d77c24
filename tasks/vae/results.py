"""What a run of the image study measures at the end, and what it writes.

Read next: collapse.py, which of the latents a weight leaves in use.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import nn
from tasks.common.progress import print_table
from tasks.common.run_folder import RunFolder
from tasks.common.style import png
from tasks.common.tensors import pack
from tasks.vae.collapse import eigenvalues, predict
from tasks.vae.figures import Grid, elbo_by_epoch, image_grid, kl_by_latent
from tasks.vae.latent_explorer import Shown, faces_page
from tasks.vae.model import TERMS, VAE, Layout, kl_of_latents, squared_error, terms

# -- what is measured ---------------------------------------------------------------------------------------------


def measure(model: VAE, layout: Layout, data, options, history: pd.DataFrame) -> dict:
    """All that `metrics.json` holds.

    data, options   the Data and the VaeOptions: see train.py
    history         a row an epoch

    For both sets, in nats per image:

        negative_elbo       reconstruction + kl, with weight 1 whatever was optimised
        bits_per_dimension  the negative ELBO in bits per number of the image
        active_units        the number of latents whose posterior mean has a variance over the images above 0.01
                            (Burda, Grosse & Salakhutdinov 2016, section 5.2)
        active_axes         the same after the latents are rotated to the principal axes of the posterior means: the
                            rank of their covariance. Training may rotate the latents among themselves, and then one
                            direction in use counts as several active units
        latent_kl           the KL term of each latent, in nats per row of the model
        constant_image      the reconstruction term of the mean training image, the best that a decoder without a code
                            can reach on the training images (with --per-channel a grey image, as the model does not
                            know which channel it decodes)

    And "collapse", what collapse.py says without any training:

        eigenvalues         the largest, as many as there are latents
        mean_reduction      D / Z, the weight of the KL term if both terms are means, not sums, over their elements
        predicted           {"used", "kl", "reconstruction"} of the test images with the weight of this run (1 with
                            "anneal"); None with weight 0, where nothing limits the code, and with "learned", a weight
                            beside another reconstruction term
    """
    constant = np.clip(data.train.mean(axis=0, dtype=np.float64) / 255, 1e-6, 1 - 1e-6)
    constant = constant.mean(axis=-1, keepdims=True) if layout.per_channel else constant
    measured = {name: terms(model, layout, pixels) for name, pixels in data.sets.items()}
    results = {}
    for name, pixels in data.sets.items():
        mean, log_var = encode(model, layout, pixels)
        x = pixels.mean(axis=0, dtype=np.float64) / 255  # the cross-entropy is linear in x, so the mean image suffices
        results[name] = {term: measured[name][term] for term in TERMS} | {
            "bits_per_dimension": measured[name]["negative_elbo"] / (layout.rows * layout.width * math.log(2)),
            "active_units": int((mean.var(axis=0) > 0.01).sum()),
            "active_axes": int((np.linalg.svd(mean - mean.mean(axis=0), compute_uv=False)**2 / len(mean) > 0.01).sum()),
            "latent_kl": kl_of_latents(mean, log_var).tolist(),
            "constant_image": float(-(x * np.log(constant) + (1 - x) * np.log(1 - constant)).sum()),
        }
    results["test"]["importance_weighted"] = importance_weighted(
        model, layout, choose(data.test, min(1000, len(data.test))))
    if options.kl == "learned":
        errors = {name: squared_error(model, layout, pixels) for name, pixels in data.sets.items()}
        results["learned"] = calibrated(errors, {name: found["kl"] for name, found in measured.items()}, layout)
    spectrum, weight = eigenvalues(layout, data.train, model.latent), 1.0 if options.kl == "anneal" else options.kl
    predicted = None
    if weight != "learned" and weight > 0:
        law = predict(spectrum, weight)
        predicted = {"used": law.used, "kl": law.kl * layout.rows,
                     "reconstruction": results["test"]["constant_image"] - law.gain * layout.rows}
    results["collapse"] = {"eigenvalues": spectrum.tolist(), "mean_reduction": layout.width / model.latent,
                           "predicted": predicted}
    return {
        "data": {"source": data.source, "simulated": data.simulated, "train": len(data.train), "test": len(data.test),
                 "size": layout.size, "channels": layout.channels},
        "kl": options.kl,
        **results,
        "parameters": sum(p.size for p in model.parameters()),
        "seconds_per_epoch": float(history["seconds"].median()),
    }


@nn.no_grad()
def encode(model: VAE, layout: Layout, pixels: np.ndarray, chunk: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Means and log-variances (n rows, Z) of the posteriors of images (n, size, size, C)."""
    pairs = [model.encode(nn.Tensor(layout.to_rows(pixels[i:i + chunk]))) for i in range(0, len(pixels), chunk)]
    return tuple(np.concatenate([pair[k].data for pair in pairs]) for k in (0, 1))


@nn.no_grad()
def importance_weighted(model: VAE, layout: Layout, pixels: np.ndarray, samples: int = 100) -> float:
    """A tighter upper bound on -log p(x) than the negative ELBO, in nats per image.

        -log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x),    z_k ~ q(z | x),    K = samples

    It can be far below the negative ELBO where the posterior equals the prior, as with a large weight: the decoded
    samples then differ a little, and the best of the hundred counts most.
    pixels (n, size, size, C). Burda, Grosse & Salakhutdinov 2016, "Importance weighted autoencoders", equation 8.
    """
    rng, total = np.random.default_rng(0), 0.0
    for pixel in pixels:
        x = layout.to_rows(pixel[None])  # (rows, D)
        mean, log_var = (np.repeat(t.data, samples, axis=0) for t in model.encode(nn.Tensor(x)))
        noise = rng.standard_normal(mean.shape).astype(mean.dtype)
        z = mean + np.exp(log_var / 2) * noise
        logits = model.logits(nn.Tensor(z))
        log_x = -nn.binary_cross_entropy_with_logits(logits, x.repeat(samples, 0), "none").data.sum(axis=1)
        log_z = -0.5 * (z**2).sum(axis=1) + 0.5 * (noise**2 + log_var).sum(axis=1)  # the constants cancel
        log_w = (log_x + log_z).astype(float).reshape(-1, samples)
        total -= (nn.logsumexp(log_w, axis=1) - math.log(samples)).sum()
    return total / len(pixels)


def calibrated(errors: dict[str, float], kl: dict[str, float], layout) -> dict:
    """The value of the learned weight: sigma^2, the mean squared error of the training images. See `model.loss`.

    errors, kl      of each set: the mean squared error of its numbers, and its KL term, nats per image
    sigma       standard deviation of the Gaussian decoder; pixels are from 0 to 1
    kl_weight   sigma^2, the weight of the KL term relative to half the squared error
    train, test     negative ELBO with that decoder, nats per image; p is a density, so it can be negative
    """
    variance, dimensions = errors["train"], layout.rows * layout.width

    def negative_elbo(name):
        return dimensions / 2 * (math.log(2 * math.pi * variance) + errors[name] / variance) + kl[name]

    return {"sigma": math.sqrt(variance), "kl_weight": variance, "train": negative_elbo("train"),
            "test": negative_elbo("test")}


# -- what is written ----------------------------------------------------------------------------------------------

TITLES = {
    "reconstructions": "Test images and their reconstructions",
    "prior_samples": "Samples from the prior",
    "posterior_samples": "Samples from posteriors",
    "interpolation": "From one test image to another",
    "traversal": "One latent at a time, most active first",
}


def write_results(folder: RunFolder, options, data, layout: Layout, model: VAE, history: pd.DataFrame,
                  metrics: dict) -> None:
    """Write the folder of a finished run. It shows the same images for every weight of the KL term."""
    weights = {"learned": "KL weight learned", "anneal": "KL weight from 0 to 1"}
    weight = weights[options.kl] if isinstance(options.kl, str) else f"KL weight {options.kl:g}"
    where = f"{weight}{', each channel by itself' if options.per_channel else ''}: {data.source}"
    constant = metrics["test"]["constant_image"]
    figures = {
        "learning_curve": elbo_by_epoch(history, title=f"Negative ELBO, {where}", constant=constant),
        "collapse": kl_by_latent(metrics, title=f"KL of each latent, {where}"),
        **{name: image_grid(grid, title=f"{TITLES[name]}, {where}")
           for name, grid in pictures(model, layout, data.test).items()},
    }
    name = options.kl if isinstance(options.kl, str) else f"weight {options.kl:g}"
    explorer = faces_page([Shown(name, model, layout)], data.test, data.source, data.simulated)
    folder.finish({
        **tables(history, model),
        **({"faces.html": explorer} if explorer else {}),
        **{f"{name}.png": png(figure) for name, figure in figures.items()},
    }, metrics)


def tables(history: pd.DataFrame, model: VAE) -> dict[str, str | bytes]:
    """The files that hold numbers, besides options.json and metrics.json: {name: content}."""
    return {"history.csv": history.to_csv(index=False),
            "model.safetensors": pack(model.state_dict())}


def pictures(model: VAE, layout: Layout, pixels: np.ndarray) -> dict[str, Grid]:
    """What the model makes of some of the images (n, size, size, C), and of codes without one; named as in TITLES."""
    return {
        "reconstructions": reconstructions(model, layout, pixels),
        "prior_samples": prior_samples(model, layout),
        "posterior_samples": posterior_samples(model, layout, pixels),
        "interpolation": interpolation(model, layout, pixels),
        "traversal": traversal(model, layout, pixels),
    }


@nn.no_grad()
def decode(model: VAE, layout: Layout, z: np.ndarray) -> np.ndarray:
    """Codes (n rows, Z) -> images (n, size, size, C) uint8."""
    p = model.decode(nn.Tensor(z.astype(np.float32))).data
    return np.rint(255 * layout.to_images(p)).astype(np.uint8)


def choose(pixels: np.ndarray, count: int) -> np.ndarray:
    """`count` images of a set, the same for every model; some of them twice if the set is too small."""
    return pixels[np.resize(np.random.default_rng(0).permutation(len(pixels)), count)]


def reconstructions(model: VAE, layout: Layout, pixels: np.ndarray) -> Grid:
    """Twenty images above what is decoded from the means of their posteriors."""
    originals = choose(pixels, 20)
    decoded = decode(model, layout, encode(model, layout, originals)[0])
    rows = np.stack([originals[:10], decoded[:10], originals[10:], decoded[10:]])
    return Grid(rows, rows=["test image", "reconstruction"] * 2)


def prior_samples(model: VAE, layout: Layout) -> Grid:
    """Fifty samples of z ~ N(0, I), decoded."""
    return Grid(sampled(model, layout, 50).reshape(5, 10, layout.size, layout.size, layout.channels))


def sampled(model: VAE, layout: Layout, count: int) -> np.ndarray:
    """Images (count, size, size, C) uint8, decoded from z ~ N(0, I)."""
    return decode(model, layout, np.random.default_rng(0).standard_normal((count * layout.rows, model.latent)))


def posterior_samples(model: VAE, layout: Layout, pixels: np.ndarray) -> Grid:
    """Twenty images, and below each two samples of its posterior, decoded."""
    originals = choose(pixels, 20)
    mean, log_var = encode(model, layout, originals)
    rng = np.random.default_rng(0)
    samples = [decode(model, layout, mean + np.exp(log_var / 2) * rng.standard_normal(mean.shape)) for _ in range(2)]
    rows = np.stack([images[half] for half in (slice(10), slice(10, 20)) for images in (originals, *samples)])
    return Grid(rows, rows=["test image", "sample", "sample"] * 2)


def interpolation(model: VAE, layout: Layout, pixels: np.ndarray, pairs: int = 6, steps: int = 8) -> Grid:
    """From one image to another on the straight line between the means of their posteriors."""
    ends = choose(pixels, 2 * pairs)
    mean = encode(model, layout, ends)[0].reshape(pairs, 2, layout.rows, -1)
    share = np.linspace(0, 1, steps)[:, None, None]
    rows = [[a, *decode(model, layout, ((1 - share) * za + share * zb).reshape(steps * layout.rows, -1)), b]
            for (a, b), (za, zb) in zip(ends.reshape(pairs, 2, *ends.shape[1:]), mean, strict=True)]
    columns = ["test image", *(f"{100 * s:.0f} %" for s in share.ravel()), "test image"]
    return Grid(np.array(rows), columns=columns)


def traversal(model: VAE, layout: Layout, pixels: np.ndarray, most: int = 8) -> Grid:
    """One latent at a time from -3 to 3, all others 0; those first whose posterior mean varies most over the images.

    With --per-channel the channels move together, so that all is grey.
    """
    variance = encode(model, layout, pixels)[0].var(axis=0)
    latents = np.argsort(-variance, kind="stable")[:most]
    values = np.linspace(-3, 3, 9)
    z = np.zeros((len(latents), len(values), layout.rows, model.latent))
    for row, latent in enumerate(latents):
        z[row, :, :, latent] = values[:, None]
    images = decode(model, layout, z.reshape(-1, model.latent))
    return Grid(images.reshape(len(latents), len(values), *images.shape[1:]),
                rows=[f"z{latent}, variance {variance[latent]:.2f}" for latent in latents],
                columns=[f"{value:g}" for value in values])


def summary(metrics: dict, console: Console) -> None:
    """Print the results, and beside them the score of the best constant image."""
    table = Table(title=f"{escape(metrics['data']['source'])}: nats per image (ELBO: weight 1, whatever was optimised)",
                  box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("", "neg. ELBO", "reconstr.", "KL", "bits/dim", "active", "best constant"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name in ("train", "test"):
        m = metrics[name]
        table.add_row(name, f"{m['negative_elbo']:.1f}", f"{m['reconstruction']:.1f}", f"{m['kl']:.1f}",
                      f"{m['bits_per_dimension']:.3f}", str(m["active_units"]), f"{m['constant_image']:.1f}")
    print_table(table, console)
    console.print(f"-log p(x) of test images is at most {metrics['test']['importance_weighted']:.1f} nats "
                  "(100 importance samples).", highlight=False, soft_wrap=True)
    if "learned" in metrics:
        console.print(f"The learned weight amounts to {metrics['learned']['kl_weight']:.4f} against half the squared "
                      f"error (sigma = {metrics['learned']['sigma']:.3f}).", highlight=False, soft_wrap=True)
