"""The machine that a measurement was made on: its processor, its cores, and the versions of the libraries.

Read next: tasks/vae/model.py, the model of the image study.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from datetime import date
from pathlib import Path

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine(packages: Iterable[str]) -> dict:
    """Today's date, processor, cores, system, Python, and {"versions": {package: version}} of the packages named."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"date": f"{date.today()}", "processor": (models or [platform.processor() or platform.machine()])[0],
            "cores": CORES, "system": platform.system(), "python": platform.python_version(),
            "versions": {package: importlib.metadata.version(package) for package in packages}}
