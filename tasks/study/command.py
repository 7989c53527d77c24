"""Both studies in one command: every run of the grid, several at a time, and the page that shows them.

The workers are sent the options and the data of a run and return the files of its folder. They are written here,
`metrics.json` last. So a folder with a `metrics.json` is a finished run, and after a stop the same command continues.

Read next: jobs.py, which runs there are.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
from pathlib import Path

from rich.console import Console

from data import BadInput
from data.lock import is_lock, locked
from tasks.common.files import as_json, write, write_all
from tasks.common.machine import CORES, machine
from tasks.common.options import check_ranges
from tasks.common.progress import log_to, warn_of_minutes
from tasks.common.stops import Interrupted
from tasks.study.faces import faces
from tasks.study.jobs import Job, StudyOptions, image_jobs, sequence_jobs
from tasks.study.page import page
from tasks.study.results import Run, Study, read_run
from tasks.study.workers import cluster, processes, work

PACKAGES = ("numpy", "pandas", "matplotlib", "pillow", "pygal", "safetensors")

# -- the folder ---------------------------------------------------------------------------------------------------


def check_folder(out: Path) -> None:
    """Raises BadInput if the folder holds files that no study wrote."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out: {out} is a file, not a folder")
    if out.exists() and not all(map(is_lock, out.iterdir())) and not (out / "study.json").exists():
        raise BadInput(f"--out: {out} is not empty and not the folder of a study: choose another")


def finished(jobs: list[Job], out: Path) -> dict[str, Run]:
    """The runs that are finished, {name: run}. Raises BadInput for a folder that is damaged or was changed."""
    runs = {}
    for job in jobs:
        folder = out / job.folder
        if not (folder / "metrics.json").exists():
            continue
        try:
            runs[job.name] = read_run(folder)
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder}: is damaged ({error}): remove it, and the run is done again") from None
        if runs[job.name].config != job.config:
            raise BadInput(f"{folder}: config.json is not that of the run that the folder is named after: remove the "
                           "folder, and the run is done again")
    return runs


def command(options: StudyOptions) -> str:
    """The command line of these options."""
    words = ["python", "run.py", "study"]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            values = value if isinstance(value, tuple) else [] if value is True else [value]
            words += [f"--{field.name}", *map(str, values)]
    return shlex.join(words)


# -- the command --------------------------------------------------------------------------------------------------


def run(options: StudyOptions, console: Console) -> bool:
    """Do the runs that are not finished yet, and write the page of all of them. Returns False if some failed.

    Raises BadInput for a wrong option or file, with nothing written; Interrupted at Ctrl-C: what is finished is kept,
    and the same command continues.
    """
    check_ranges(options)
    options = dataclasses.replace(options, out=options.out.expanduser())  # the shell leaves the ~ of --out=~/x alone
    check_folder(options.out)  # first, as drawing faces takes a while
    with locked(options.out):
        return _run(options, console)


def _run(options: StudyOptions, console: Console) -> bool:
    log, began = log_to(console), time.monotonic()
    sequences, cases = ([], None) if options.only == "vae" else sequence_jobs(options, log)
    images, sweep = ([], []) if options.only == "covid" else image_jobs(options, log)
    jobs = [*sequences, *images, *sweep]
    kept = finished(jobs, options.out)
    waiting = [job for job in jobs if job.name not in kept]
    count = options.workers or CORES
    where = machine(PACKAGES)
    provenance = {
        "command": command(options), "date": where["date"], "machine": f"{where['processor']}, {where['cores']} cores",
        "workers": options.scheduler or count, "seeds": sorted({job.options.seed for job in jobs}),
        "kept": len(kept), "seconds": None, "versions": {"python": where["python"], **where["versions"]},
    }
    write(options.out / "study.json", as_json(provenance))
    log(f"{len(jobs)} runs, {len(kept)} of them finished before.")
    failed = {}
    if waiting:
        warn_of_minutes(sum(job.cost for job in waiting) / count, log)
        try:
            with cluster(options.scheduler, log) if options.scheduler else processes(count) as executor:
                failed = work(waiting, executor, lambda job, files: write_all(
                    options.out / job.folder, files, mark="metrics.json"), console)
        except KeyboardInterrupt:
            raise Interrupted from None

    provenance["seconds"] = time.monotonic() - began
    runs = finished(jobs, options.out)
    for reason in dict.fromkeys(failed.values()):
        names = [name for name in failed if failed[name] == reason]
        log(f"FAILED  {names[0] if len(names) == 1 else f'{len(names)} runs'}: {reason}")
    study = Study([runs[job.name] for job in sequences if job.name in runs],
                  [runs[job.name] for job in images if job.name in runs], failed, cases, provenance,
                  [runs[job.name] for job in sweep if job.name in runs])
    explorer = faces([job for job in images if job.name in runs], options.out)
    study = dataclasses.replace(study, faces=explorer is not None)
    if explorer:
        write(options.out / "faces.html", explorer)
    write(options.out / "study.json", as_json(provenance))
    write(options.out / "index.html", page(study))
    log(f"{len(runs)} of {len(jobs)} runs are on the page: {options.out / 'index.html'}")
    return not failed
