"""faces.html in a real Chromium: its decoders against nn's, and what a reader can do with the codes."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import nn
from tasks.vae import latent_explorer
from tasks.vae.latent_explorer import Shown, faces_page
from tasks.vae.model import VAE, Layout

SIZE, LATENT, DEAD = 8, 5, 3  # the latents from DEAD on have the prior as their posterior
SOURCE = "<script>alert(1)</script> & co (simulated)"


def model(seed: int, layout: Layout, dead: int = DEAD) -> VAE:
    made = VAE(layout.width, 40, LATENT, np.random.default_rng(seed))
    for p in made.parameters():
        p.data = 2 * p.data
    made.output.weight.data *= np.linspace(0.1, 1, 40, dtype=np.float32)  # a scale for each unit
    alive = np.random.default_rng(seed).permutation(LATENT) < dead
    for layer in (made.mean, made.log_var):
        layer.weight.data[~alive] = layer.bias.data[~alive] = 0
    made.decoder.weight.data[:, ~alive] = 0
    return made


def shown() -> list[Shown]:
    whole, apart = Layout(SIZE, 3, False), Layout(SIZE, 3, True)
    return [Shown("weight 0", model(0, whole, LATENT), whole), Shown("weight 1", model(1, whole), whole),
            Shown("weight 100", model(2, whole, 0), whole),
            Shown("weight 1, each channel by itself", model(3, apart), apart)]


TEST = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("faces") / "faces.html"
    path.write_text(faces_page(shown(), TEST, SOURCE, simulated=True), encoding="utf-8")
    return path


@pytest.fixture
def opened(opened):
    """The page, when its decoders are unpacked."""
    WebDriverWait(opened, 10).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "main[aria-busy=false]"))
    return opened


def control(driver, name: str):
    found = driver.find_element(By.NAME, name)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def images(driver) -> np.ndarray:
    """What the models have drawn, (models, size, size, 3)."""
    found = driver.execute_script("""
      return [...document.querySelectorAll("[data-model] canvas")].map((canvas) => canvas.toDataURL());""")
    pictures = (Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) for uri in found)
    return np.array([np.asarray(picture.convert("RGB")) for picture in pictures]).astype(int)


def sliders(driver, where: str = ".alive, .dead") -> list:
    return [driver.find_elements(By.CSS_SELECTOR, f"{part} input") for part in where.split(", ")]


def code(driver) -> np.ndarray:
    return np.array([float(slider.get_attribute("value")) for part in sliders(driver) for slider in part])


@nn.no_grad()
def decoded(one: Shown, z: np.ndarray) -> np.ndarray:
    """The image of a code (rows, Z) in the model's own order."""
    return 255 * one.layout.to_images(one.model.decode(nn.Tensor(z.astype(np.float32))).data)[0]


@nn.no_grad()
def posterior_mean(one: Shown, face: int) -> np.ndarray:
    return one.model.encode(nn.Tensor(one.layout.to_rows(TEST[face:face + 1])))[0].data


def order(one: Shown) -> list[int]:
    return latent_explorer.described_model(one, TEST)["order"]


def assert_drawn(driver, codes: list[np.ndarray]) -> None:
    """The image of every model is within 2/255 of what nn decodes from these codes."""
    for drawn, one, z in zip(images(driver), shown(), codes, strict=True):
        assert np.abs(drawn - decoded(one, z)).max() <= 2, one.name


def test_it_opens_with_the_code_0(opened):
    assert_drawn(opened, [np.zeros((one.layout.rows, LATENT)) for one in shown()])
    assert "simulated" in opened.find_element(By.TAG_NAME, "header").text
    assert SOURCE in opened.find_element(By.TAG_NAME, "main").text
    assert np.ptp(images(opened)[0]) > 50  # there is something to see


def test_a_face_its_mean_and_a_walk(opened):
    opened.find_elements(By.CSS_SELECTOR, ".faces button")[2].click()
    means = [[posterior_mean(one, face) for one in shown()] for face in (2, 1)]
    assert_drawn(opened, means[0])
    control(opened, "walk").send_keys(*[Keys.ARROW_RIGHT] * 3, Keys.PAGE_UP)
    share = int(control(opened, "walk").get_attribute("value")) / 100
    assert 0 < share < 1
    assert_drawn(opened, [(1 - share) * a + share * b for a, b in zip(*means, strict=True)])
    says = opened.find_element(By.CSS_SELECTOR, "[role=status]").text
    assert says == f"{100 * share:.0f} % of the way from face 3 to face 2."
    control(opened, "reset").click()
    assert_drawn(opened, [np.zeros((one.layout.rows, LATENT)) for one in shown()])


def test_the_noise_is_drawn_again_and_again(opened):
    opened.find_elements(By.CSS_SELECTOR, ".faces button")[0].click()
    mean = images(opened)
    seen = []
    for _ in range(2):
        control(opened, "noise").click()
        seen.append(images(opened))
    assert (np.abs(seen[0] - seen[1])[[0, 1, 3]].reshape(3, -1).max(axis=1) > 2).all()
    assert (seen[0][2] == mean[2]).all()  # what has collapsed does not move
    control(opened, "mean").click()
    assert (images(opened) == mean).all()


def test_a_slider_moves_the_latent_of_that_rank_in_every_model(opened):
    sliders(opened)[0][1].send_keys(*[Keys.PAGE_UP] * 2)
    value = code(opened)[1]
    assert value > 0.5 and (np.delete(code(opened), 1) == 0).all()
    codes = []
    for one in shown():
        codes.append(np.zeros((one.layout.rows, LATENT)))
        codes[-1][:, order(one)[1]] = value
    assert_drawn(opened, codes)


def test_the_dead_are_marked_and_folded_away(opened):
    alive, dead = sliders(opened)
    assert (len(alive), len(dead)) == (DEAD, LATENT - DEAD) and not dead[0].is_displayed()
    kl = [float(slider.get_attribute("aria-label").split("KL ")[1].split()[0]) for slider in alive]
    assert kl == sorted(kl, reverse=True) and all("dead" in slider.get_attribute("aria-label") for slider in dead)
    opened.find_element(By.TAG_NAME, "summary").click()
    before = images(opened)
    dead[0].send_keys(Keys.PAGE_UP)
    moved = (images(opened) != before).reshape(4, -1).any(axis=1)
    assert moved.tolist() == [True, False, False, False]
    control(opened, "reference").find_elements(By.TAG_NAME, "option")[2].click()
    assert len(sliders(opened)[0]) == 0 and opened.find_element(By.CLASS_NAME, "none").is_displayed()


def test_the_prior_gives_the_same_code_to_all(opened):
    control(opened, "prior").click()
    first = code(opened)
    codes = []
    for one in shown()[:3]:
        z = np.zeros((1, LATENT))
        z[0, order(one)] = first
        codes.append(z)
    for drawn, one, z in zip(images(opened), shown(), codes, strict=False):
        assert np.abs(drawn - decoded(one, z)).max() < 12  # the sliders show the code rounded to their step
    assert np.ptp(images(opened)[3], axis=-1).max() > 5  # each channel has a code of its own
    control(opened, "prior").click()
    assert (code(opened) != first).any()


def test_one_channel_by_itself(opened):
    control(opened, "channel").find_elements(By.TAG_NAME, "option")[2].click()
    before = images(opened)
    sliders(opened)[0][0].send_keys(*[Keys.PAGE_UP] * 3)
    change = (images(opened) != before)
    assert not change[:3].any()
    assert change[3].reshape(-1, 3).any(axis=0).tolist() == [False, True, False]


def test_nothing_is_requested(opened, file):
    control(opened, "prior").click()
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [message["params"]["request"]["url"] for message in messages
             if message["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_is_as_wide_as_the_screen(opened, width):
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 1000})
    page = "document.documentElement"
    assert opened.execute_script(f"return {page}.scrollWidth <= {page}.clientWidth")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_models_that_do_not_fit_are_named(monkeypatch):
    one = len(latent_explorer.described_model(shown()[0], TEST)["weights"])
    monkeypatch.setattr(latent_explorer, "LIMIT", round(2.5 * one))
    html = faces_page(shown()[:3], TEST, SOURCE, simulated=False)
    assert html.count('class="weights"') == 2 and "Left out, so that the page stays small: weight 100." in html
    monkeypatch.setattr(latent_explorer, "LIMIT", one // 2)
    assert faces_page(shown()[:3], TEST, SOURCE, simulated=False) is None


def test_six_decoders_of_the_study_are_below_8_megabytes():
    """As many as fit of random weights, which hardly compress."""
    layout = Layout(32, 3, False)
    large = Shown("weight 1", VAE(layout.width, 400, 20, np.random.default_rng(0)), layout)
    html = faces_page([large] * 6, np.zeros((20, 32, 32, 3), np.uint8), "drawn", simulated=True)
    assert len(html.encode()) <= 8_000_000 and html.count('class="weights"') >= 4
