"""Which runs a study has, what each computes, and the names of their folders."""

from __future__ import annotations

import numpy as np

from tasks.study import jobs
from tasks.study.jobs import Job, StudyOptions
from tasks.vae import train as vae


def test_the_grid_has_every_cell_length_split_and_seed():
    found, cases = jobs.sequence_jobs(StudyOptions(csv="simulated"), lambda line: None)
    grid = {(job.options.cell, job.options.L, job.options.split, job.options.seed) for job in found}
    assert grid == {(cell, L, split, seed) for cell in ("rnn", "lstm", "gru") for L in (3, 5, 7, 9, 10, 15, 20, 30)
                    for split in ("time", "random") for seed in (0, 1, 2)}
    assert len(found) == len({job.folder for job in found}) == 144 and {job.options.epochs for job in found} == {300}
    first, *_, last = sorted((-job.cost, job.options.cell, job.options.L) for job in found)
    assert first[1:] == ("lstm", 30) and last[1:] == ("rnn", 3)
    assert cases.counts.simulated and set(cases.kept) < set(cases.correlations) and cases.threshold == 0.5

    quick, _ = jobs.sequence_jobs(StudyOptions(csv="simulated", quick=True), lambda line: None)
    assert len(quick) == 48 and {(job.options.epochs, job.options.seed) for job in quick} == {(300, 0)}
    assert {job.folder for job in quick} < {job.folder for job in found}  # the full study goes on from the quick one


def test_the_images_are_learned_with_every_weight(monkeypatch):
    drawn = np.zeros((700, 64, 64, 3), np.uint8)
    monkeypatch.setattr(vae, "load_drawn_faces", lambda log: (drawn, None))
    monkeypatch.setattr(jobs, "eigenvalues", lambda layout, pixels, count: np.array([80.3]))
    found, sweep = jobs.image_jobs(StudyOptions(), lambda line: None)
    assert [(job.options.kl, job.options.per_channel) for job in found] == [
        (0, False), (1, False), (100, False), ("learned", False), ("anneal", False), (1, True)]
    assert {job.options.epochs for job in found} == {375}  # 1,500 steps of 128 images
    assert len({job.folder for job in found + sweep}) == len({job.name for job in found + sweep}) == 6 + 11 + 12
    by_seed = {seed: [job.options.kl for job in sweep if job.options.seed == seed] for seed in (0, 1, 2)}
    assert by_seed[0] == [0.03, 0.1, 0.3, 3, 10, 20, 30, 50, 80, 150, 300] and by_seed[1] == by_seed[2]
    assert by_seed[1] == [0, 1, 100, 50, 80, 150]  # near 80.3
    quick, few = jobs.image_jobs(StudyOptions(quick=True), lambda line: None)
    assert {job.options.epochs for job in quick + few} == {125} and len(few) == 5
    assert {job.options.seed for job in few} == {0}


def test_a_folder_is_named_after_the_configuration_and_the_data():
    def folder(**config):
        return Job("a", {"L": 5, "data_sha256": "x"} | config, None, None, None, 1).folder

    assert folder() == folder() and folder().startswith("a-")
    assert len({folder(), folder(L=6), folder(data_sha256="y")}) == 3
