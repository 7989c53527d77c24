"""The page in a real Chromium: steps forward and back, the keyboard, a narrow window, no request and no message."""

from __future__ import annotations

import json

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import nn
from tasks.explain.chapters import accumulation, chapters, gradient_check
from tasks.explain.page import page


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page(chapters()), encoding="utf-8")
    return path


def player(opened, name="player-1-1"):
    return opened.find_element(By.ID, name)


def step(found):
    """The title of the step that is shown, and its numbers."""
    shown, = [each for each in found.find_elements(By.CLASS_NAME, "step") if each.is_displayed()]
    return (shown.find_element(By.TAG_NAME, "h4").text.partition(" ")[2],
            [each.text for each in shown.find_elements(By.TAG_NAME, "dd")])


def click(found, go):
    found.find_element(By.CSS_SELECTOR, f"[data-go={go}]").click()


def classes(found, box):
    return set(found.find_element(By.CSS_SELECTOR, f'[data-box="{box}"]').get_attribute("class").split())


def test_steps_forward_and_back_give_the_numbers_of_nn(opened):
    found = player(opened)
    seen = [step(found)]
    for _ in range(6):
        click(found, "on")
        seen.append(step(found))
    a = nn.Tensor(3.0, requires_grad=True)
    b = a + a
    c = b + b
    assert seen[0] == ("What is given", [f"{a.item():g}"])
    assert seen[1] == ("b = add", [f"{a.item():g}", f"{b.item():g}"])
    assert seen[2] == ("c = add", [f"{b.item():g}", f"{c.item():g}"])
    c.backward()
    assert seen[6] == ("a was made by hand: its gradient is complete", [f"{a.grad.item():g}"])
    assert seen[4] == ("Back through c = add", ["1", "1", "1 + 1 = 2"])
    for before in seen[5::-1]:
        click(found, "back")
        assert step(found) == before
    click(found, "back")
    assert step(found) == seen[0]


def test_the_picture_says_how_far_the_pass_has_come(opened):
    found = player(opened)
    assert "seen" in classes(found, 0) and "seen" not in classes(found, 1)
    click(found, "on")
    assert {"seen", "now"} <= classes(found, 1)
    click(found, "last")
    assert {"seen", "gradient", "freed"} <= classes(found, 1) and "now" in classes(found, 0)
    click(found, "first")
    assert not classes(found, 1) & {"seen", "gradient", "freed", "now"}


def test_the_wrong_order_ends_with_the_wrong_answer(opened):
    found = player(opened, "player-1-2")
    click(found, "last")
    assert step(found) == ("The wrong answer for a", ["6", "4"])


def test_the_keyboard_does_as_well(opened):
    found = player(opened)
    opened.execute_script("arguments[0].focus()", found)
    places = []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.END, Keys.ARROW_RIGHT, Keys.HOME):
        found.send_keys(key)
        places.append(found.find_element(By.TAG_NAME, "output").text)
    assert places == ["2 of 7", "3 of 7", "2 of 7", "7 of 7", "7 of 7", "1 of 7"]
    slider = found.find_element(By.TAG_NAME, "input")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert step(found)[0] == "b = add" and slider.get_attribute("aria-valuetext") == "step 2 of 7"


def test_every_step_of_every_player_can_be_shown(opened):
    orders = opened.execute_script("""
        return [...document.querySelectorAll(".player")].map(player => {
            const next = player.querySelector("[data-go=on]"), steps = [...player.querySelectorAll(".step")];
            return steps.map(() => {
                const shown = steps.flatMap((step, i) => step.hidden ? [] : [i]);
                next.click();
                return shown;
            });
        })""")
    assert len(orders) == 11
    assert all(order == [[i] for i in range(len(order))] for order in orders)


def test_nothing_moves_by_itself(opened):
    assert opened.execute_script("return document.getAnimations().length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_scrolls_down_only(opened, scheme):
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True})
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme",
                                                                       "value": scheme}]})
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") == 400
        for button in player(opened).find_elements(By.TAG_NAME, "button"):
            assert button.rect["height"] >= 40 and button.rect["x"] + button.rect["width"] <= 400
        shown = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert shown == {"light": "rgb(253, 253, 251)", "dark": "rgb(23, 24, 26)"}[scheme]
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_formulas_are_typeset(opened):
    sizes = opened.execute_script("""return [...document.querySelectorAll(".beside mfrac")].map(fraction =>
        fraction.children[1].getBoundingClientRect().top - fraction.children[0].getBoundingClientRect().top)""")
    assert len(sizes) > 8 and min(sizes) > 3  # the denominator is below the numerator


def test_no_request_leaves_the_page(opened):
    requests = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    urls = [entry["params"]["request"]["url"] for entry in requests if entry["method"] == "Network.requestWillBeSent"]
    assert urls and all(url.startswith(("file:", "data:")) for url in urls)


def test_without_scripts_all_steps_are_there():
    text = page([accumulation(), gradient_check()])
    assert text.count('<li class="step"') == 18 and 'class="step" hidden' not in text
    assert 'class="controls" hidden' in text
