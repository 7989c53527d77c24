"""The page of a made-up study in a real Chromium: what it does, and what it asks of the network."""

from __future__ import annotations

import json
import re

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tasks.common.style import BLUE, ORANGE
from tasks.covid.world_map import world_map
from tests.tasks.study.test_page import COUNTRIES, LACKING, ODD, covid_run, made_up_page


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(made_up_page(), encoding="utf-8")
    return path


def choose(browser, name: str, value: str) -> None:
    browser.find_element(By.CSS_SELECTOR, f'select[name="{name}"] option[value="{value}"]').click()


def area(browser, country: str):
    return next(path for path in browser.find_elements(By.CSS_SELECTOR, ".area")
                if path.get_attribute("data-country") == country)


def colour(browser, country: str) -> tuple[str, float]:
    """What a country is filled with: "#E69F00" and how opaque."""
    path = area(browser, country)
    red, green, blue = re.findall(r"\d+", path.value_of_css_property("fill"))[:3]
    return f"#{int(red):02X}{int(green):02X}{int(blue):02X}", float(path.value_of_css_property("fill-opacity"))


def tip(browser) -> str | None:
    found = browser.find_element(By.CLASS_NAME, "tip")
    return found.text if found.is_displayed() else None


def tip_stands_by(browser, country: str) -> bool:
    """Its lower left corner is the place pointed at, 12 pixels to the left and 8 below."""
    tip, place = browser.find_element(By.CLASS_NAME, "tip").rect, area(browser, country).rect
    x, y = tip["x"] - 12, tip["y"] + tip["height"] + 8
    return -1 < x - place["x"] < place["width"] + 1 and -1 < y - place["y"] < place["height"] + 1


def test_the_map_is_coloured_as_world_map_colours_it(opened):
    svg, _ = world_map(covid_run(probabilities=[0.22, 0.12, 0.82, 0.62, 0.42]).probabilities, title="")
    for country, code in COUNTRIES.items():
        if country == LACKING:
            continue
        up, opacity = re.search(rf'class="{code} country map-element color-(\d).*?" style="fill-opacity: ([0-9.]+)"',
                                svg).groups()
        assert colour(opened, country) == ((ORANGE, BLUE)[int(up)], pytest.approx(float(opacity), abs=1e-4))


def test_the_choices_change_the_map(opened):
    assert colour(opened, "France") == (BLUE, pytest.approx(0.25 + 1.5 * (0.5 - 0.22)))
    says = opened.find_element(By.CSS_SELECTOR, "[role=status]")
    assert says.text == "Ascending in 2 countries, descending in 3."
    choose(opened, "L", "5")
    assert colour(opened, "France") == (ORANGE, pytest.approx(0.25 + 1.5 * (0.92 - 0.5)))
    assert says.text == "Ascending in 3 countries, descending in 2."
    item = opened.find_element(By.CSS_SELECTOR, "#world-map li").get_attribute("textContent")
    assert item.replace("\xa0", " ") == f"{LACKING}: 72 %"


def test_the_map_of_a_run_that_failed_is_grey(opened):
    choose(opened, "cell", "lstm")
    choose(opened, "L", "5")
    assert colour(opened, "France") == ("#D9D9D9", 1)
    assert area(opened, "France").get_attribute("aria-label") == "France: no data"
    choose(opened, "split", "random")
    assert colour(opened, "France")[0] == ORANGE


def test_the_pointer_opens_a_tip(opened):
    assert tip(opened) is None
    webdriver.ActionChains(opened).move_to_element(area(opened, ODD)).perform()
    assert tip(opened).replace("\xa0", " ").split("\n") == [ODD, "62 % (60 to 64 % over 2 seeds)"]
    assert tip_stands_by(opened, ODD)
    webdriver.ActionChains(opened).move_to_element(opened.find_element(By.ID, "world")).perform()
    assert tip(opened) is None


def test_the_keyboard_does_as_well(opened):
    opened.find_element(By.CSS_SELECTOR, "select[name=L]").send_keys(Keys.TAB)
    found = []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_LEFT, "i", Keys.ESCAPE):
        found.append((tip(opened) or "closed").split("\n")[0])
        opened.switch_to.active_element.send_keys(key)
    assert found == [ODD, "France", ODD, "Namibia", "Italy"]
    assert tip(opened) is None
    assert opened.switch_to.active_element.get_attribute("aria-label").startswith("Italy: 12")
    assert len(opened.find_elements(By.CSS_SELECTOR, ".area[tabindex='0']")) == 1
    opened.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert tip(opened).startswith("Namibia") and tip_stands_by(opened, "Namibia")
    opened.switch_to.active_element.send_keys(Keys.TAB)
    assert tip(opened) is None


def rows(browser):
    """What the list of countries shows: [[country, per cent], ...]."""
    return browser.execute_script("return [...document.querySelectorAll('.list tbody tr')].filter(r => !r.hidden)"
                                  ".map(r => [...r.cells].map(c => c.textContent))")


def test_the_list_has_the_numbers_of_the_map_and_is_sorted_and_searched(opened):
    opened.find_element(By.CSS_SELECTOR, ".list summary").click()
    countries, numbers = opened.find_elements(By.CSS_SELECTOR, ".list thead button")
    by_name = rows(opened)
    assert sorted(name for name, _ in by_name) == sorted(COUNTRIES) and ["France", "22"] in by_name
    numbers.click()
    assert [int(p) for _, p in rows(opened)] == sorted(int(p) for _, p in by_name)
    numbers.send_keys(Keys.ENTER)
    assert [int(p) for _, p in rows(opened)] == sorted((int(p) for _, p in by_name), reverse=True)
    choose(opened, "L", "5")
    assert ["France", "92"] == rows(opened)[0]
    countries.click()
    assert rows(opened)[1:] == sorted(rows(opened)[1:])
    search = opened.find_element(By.CSS_SELECTOR, ".list input")
    search.send_keys("rAn")
    assert [name for name, _ in rows(opened)] == ["France"]
    search.clear()
    search.send_keys(Keys.BACKSPACE)


def test_an_odd_name_does_not_run(opened):
    assert opened.execute_script("return document.scripts.length") == 3
    choose(opened, "L", "5")  # an alert would raise here
    assert opened.execute_script("return [...document.querySelectorAll('[data-country]')].map(a => a.dataset.country)"
                                 ).count(ODD) == 1


def test_a_row_of_pictures_is_enlarged_by_a_tap_and_by_a_key(opened):
    row = opened.find_element(By.CSS_SELECTOR, ".strips img")
    small = row.size["width"]
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", row)
    row.click()
    assert row.size["width"] == 3 * small and row.get_attribute("aria-pressed") == "true"
    row.send_keys(Keys.ENTER)
    assert row.size["width"] == small and row.get_attribute("aria-pressed") == "false"


def test_nothing_is_requested(opened, file):
    choose(opened, "L", "5")
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [message["params"]["request"]["url"] for message in messages
             if message["method"] == "Network.requestWillBeSent"]
    assert file.as_uri() in asked
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_as_wide_as_the_screen(opened, width, scheme):
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 1000})
    assert opened.execute_script("return innerWidth") == width
    page = "document.documentElement"
    assert opened.execute_script(f"return {page}.scrollWidth <= {page}.clientWidth")
    inside = "e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX === 'auto'"
    assert opened.execute_script(f"return [...document.querySelectorAll('.wide')].some({inside})") == (width == 400)
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
