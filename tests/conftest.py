"""What holds for every test: a folder of its own, no silent floating-point trouble, no switch left flipped."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from selenium import webdriver
from threadpoolctl import threadpool_limits

import nn

# In the background of a shell Ctrl-C is ignored, and the processes that the tests interrupt would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)

if sys.platform == "win32":  # they need forks, POSIX signals and a pseudo-terminal
    collect_ignore = ["test_run.py", "test_crash.py", "test_bad_input.py", "test_two_at_once.py",
                      "data/test_lock.py"]


@pytest.fixture(autouse=True)
def guards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # so that no test writes into the checkout
    with np.errstate(divide="raise", over="raise", invalid="raise"):  # an underflow to 0 is what a softmax wants
        yield
    assert (nn.Tensor([1.0], requires_grad=True) * 2).requires_grad, "the test left recording switched off"


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    with threadpool_limits(1):  # the products of the tests are small: on a busy machine a second thread only waits
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def studies(tmp_path, rng):
    """A short command line for each of the two studies, with data of their own: the folder `out` is the run's."""
    days = [f"{day.month}/{day.day}/20" for day in pd.date_range("2020-02-01", periods=30)]
    cases = pd.DataFrame(rng.integers(0, 100, 30).cumsum() * np.array([[1], [2], [3]]), columns=days)
    names = pd.DataFrame({"Province/State": "", "Country/Region": ["Austria", "Peru", "Chad"], "Lat": 0, "Long": 0})
    names.join(cases).to_csv(tmp_path / "cases.csv", index=False)
    Path(tmp_path, "pictures").mkdir()
    for i in range(60):
        picture = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
        picture.save(tmp_path / "pictures" / f"{i}.png")
    covid = "covid --csv cases.csv --threshold 0 --L 3 --hidden 40 --epochs 30 --out out"
    vae = "vae --images pictures --size 8 --hidden 16 --latent 2 --batch 2 --kl anneal --epochs 3 --out out"
    return {"covid": covid.split(), "vae": vae.split()}


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window, for the tests of all pages."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("neither chromium nor chromedriver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, file):
    """The page `file`, a fixture of the module, opened anew; at the end nothing may have gone wrong in it."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(file.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests marked `long`, too: minutes, not seconds")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("long"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    if not os.environ.get("NN_DATA"):
        for item in items:
            if item.get_closest_marker("realdata"):
                item.add_marker(pytest.mark.skip(reason="NN_DATA is not set"))
