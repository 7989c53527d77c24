"""faces.html of a study: the latent explorer with the models of all weights that the page shows in pictures.

Read next: page.py, which puts all on the page.
"""

from __future__ import annotations

from pathlib import Path

from tasks.common.tensors import unpack
from tasks.study.jobs import Job
from tasks.study.results import weight_name
from tasks.vae import train as vae
from tasks.vae.latent_explorer import Shown, faces_page
from tasks.vae.model import Layout


def faces(jobs: list[Job], out: Path) -> str | None:
    """The HTML for the finished image runs `jobs`, whose weights are in their folders in `out`; None if there are none,
    or if no decoder is small enough for a page.

    The model whose weight rises from 0 to 1 ends as one of weight 1: if not all fit, it is the first to be left out.
    """
    shown = []
    for job in sorted(jobs, key=lambda job: job.options.kl == "anneal"):
        layout = Layout(job.data.train.shape[1], job.data.train.shape[3], job.options.per_channel)
        model = vae.build(job.options, layout).model
        model.load_state_dict(unpack(out / job.folder / "model.safetensors")[0])
        shown.append(Shown(weight_name(job.config), model, layout))
    return faces_page(shown, jobs[0].data.test, jobs[0].data.source, jobs[0].data.simulated) if shown else None
