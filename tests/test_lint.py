"""The linter's verdict is part of the suite, so that one command says whether all is well."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_ruff_finds_nothing():
    found = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", ROOT],
                           capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
