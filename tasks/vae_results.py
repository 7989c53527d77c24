"""What the image study measures at the end, and what it leaves behind.

Read next: image_figures.py.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import safetensors.numpy
from rich import box
from rich.console import Console
from rich.table import Table

import nn
from tasks import image_figures as figures
from tasks.covid_results import png
from tasks.run_folder import RunFolder

ACTIVE = 0.01  # variance of a posterior mean over the data, above which a latent counts as used
