from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from tasks.common.style import BLUE, ORANGE
from tasks.covid.world_map import world_map

TITLE = "LSTM, L = 5, simulated epidemic (seed 0)"
ROOT = Path(__file__).parents[3]


def table(*rows: tuple[str, str | None, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["country", "iso2", "probability"]).assign(last_day="2020-04-12")


COUNTRIES = table(
    ("Italy", "it", 0.63), ("France", "fr", 0.999), ("Burma", "mm", 0.501), ("US", "us", 0.5),
    ("Namibia", "na", 0.37), ("Chad", "td", 0.0), ("Kosovo", "xk", 0.9), ("Diamond Princess", None, 0.2),
)


def areas(svg: str) -> dict[str, dict]:
    """What the map holds for each code: its series (None: no data), its opacity, and its tooltip."""
    found = {}
    for node in ElementTree.fromstring(svg).iter():
        classes = node.get("class", "").split()
        if "country" in classes:
            series = [int(name.removeprefix("serie-")) for name in classes if name.startswith("serie-")]
            notes = {child.get("class").split()[0]: child.text for child in node if "class" in child.attrib}
            found[classes[0]] = {
                "series": series[0] if series else None,
                "opacity": float(node.get("style").removeprefix("fill-opacity: ")) if series else None,
                "tooltip": (notes["label"], notes["value"]) if series else None,
                "shapes": [child for child in node if child.tag.endswith("path")],
            }
    return found


def texts(svg: str) -> str:
    nodes = ElementTree.fromstring(svg).iter()
    return " ".join("".join(node.itertext()) for node in nodes if node.tag.endswith("text"))


def test_each_country_is_in_the_series_of_its_direction():
    found = areas(world_map(COUNTRIES, title=TITLE)[0])
    series = {code: area["series"] for code, area in found.items() if area["series"] is not None}
    assert series == {"it": 0, "fr": 0, "mm": 0, "us": 1, "na": 1, "td": 1}


def test_tooltips_have_the_name_of_the_table_and_the_probability():
    found = areas(world_map(COUNTRIES, title=TITLE)[0])
    assert found["it"]["tooltip"] == ("Italy", "63 % up")
    assert found["mm"]["tooltip"] == ("Burma", "50 % up")
    assert found["us"]["tooltip"] == ("US", "50 % up")
    assert found["td"]["tooltip"] == ("Chad", "0 % up")


def test_every_shape_of_a_country_opens_its_tooltip():
    svg, _ = world_map(COUNTRIES, title=TITLE)
    for code, area in areas(svg).items():
        assert area["shapes"]
        triggers = ["tooltip-trigger" in shape.get("class", "") for shape in area["shapes"]]
        assert triggers == [area["series"] is not None] * len(triggers), code


def test_the_shade_is_the_distance_from_one_half_on_one_scale():
    found = areas(world_map(COUNTRIES, title=TITLE)[0])
    by_distance = [found[code]["opacity"] for code in ("us", "mm", "it", "fr", "td")]
    assert by_distance == sorted(set(by_distance))
    assert found["it"]["opacity"] == pytest.approx(found["na"]["opacity"])  # 0.63 and 0.37
    assert found["us"]["opacity"] >= 0.2 and found["td"]["opacity"] == 1
    alone = areas(world_map(COUNTRIES[:1], title=TITLE)[0])
    assert alone["it"]["opacity"] == found["it"]["opacity"]


def test_the_colours_and_the_grey_of_countries_without_data():
    svg, _ = world_map(COUNTRIES, title=TITLE)
    style = "".join(node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("style"))
    for series, colour in enumerate((ORANGE, BLUE)):
        assert re.search(rf"\.color-{series}\b[^{{]*{{stroke:{colour};fill:{colour}}}", style)
    assert re.search(r"\.map-element:not\(\.series\) ?{ ?fill: ?#D9D9D9 ?}", style)


def test_title_legend_and_days_are_written():
    text = texts(world_map(COUNTRIES, title=TITLE)[0])
    assert TITLE in text
    assert re.search(r"ascending: [^(]*more new cases [^(]*\(countries: 3\)", text)
    assert re.search(r"descending: [^(]*fewer [^(]*\(countries: 3\)", text)
    assert "Last day of data: 2020-04-12" in text
    later = COUNTRIES.assign(last_day=["2020-04-10", *["2020-04-12"] * (len(COUNTRIES) - 1)])
    assert "Last day of data: 2020-04-10 to 2020-04-12" in texts(world_map(later, title=TITLE)[0])


def test_what_the_map_lacks_is_named():
    _, lacking = world_map(COUNTRIES, title=TITLE)
    assert lacking == ["Kosovo", "Diamond Princess"]


def test_a_code_goes_to_the_first_of_two_names():
    twice = table(("Burma", "mm", 0.9), ("Myanmar", "mm", 0.1), ("Chad", "td", 0.2))
    svg, lacking = world_map(twice, title=TITLE)
    assert areas(svg)["mm"]["tooltip"] == ("Burma", "90 % up")
    assert lacking == ["Myanmar"]
    assert "countries: 1)" in texts(svg)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_any_missing_code_will_do(missing):
    assert world_map(table(("Zaandam", missing, 0.1), ("Italy", "it", 0.7)), title=TITLE)[1] == ["Zaandam"]


@pytest.mark.parametrize("probabilities", [[0.7, 0.8], [0.2, 0.3], []], ids=["up", "down", "no country"])
def test_a_series_may_be_empty(probabilities):
    svg, _ = world_map(table(*zip(["Italy", "Chad"], ["it", "td"], probabilities, strict=False)), title=TITLE)
    series = [area["series"] for area in areas(svg).values() if area["series"] is not None]
    assert series == [int(p <= 0.5) for p in probabilities]
    assert texts(svg).count("countries: 0)") == (1 if probabilities else 2)


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.5])
def test_a_wrong_probability_is_refused(wrong):
    with pytest.raises(ValueError, match="Chad"):
        world_map(table(("Italy", "it", 0.7), ("Chad", "td", wrong)), title=TITLE)


def test_markup_in_names_and_titles_is_text():
    name = "<script>alert(1)</script> & \"quotes\" ]]>"
    plain = ElementTree.fromstring(world_map(table(("Italy", "it", 0.7)), title=TITLE)[0])
    svg, lacking = world_map(table((name, "it", 0.7), (name, None, 0.7)), title="</title><script>x</script>")
    assert areas(svg)["it"]["tooltip"] == (name, "70 % up")
    assert lacking == [name]
    assert "</title><script>x</script>" in texts(svg)
    scripts = [node for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("script")]
    assert len(scripts) == sum(node.tag.endswith("script") for node in plain.iter())


def test_nothing_is_fetched():
    svg, _ = world_map(COUNTRIES, title=TITLE)
    assert "<?xml-stylesheet" not in svg and "@import" not in svg and "url(" not in svg
    for node in ElementTree.fromstring(svg).iter():
        for name in node.attrib:
            assert name.rpartition("}")[2] not in ("href", "src"), (node.tag, node.attrib)


def test_the_script_of_the_tooltips_is_inside():
    svg, _ = world_map(COUNTRIES, title=TITLE)
    nodes = ElementTree.fromstring(svg).iter()
    config, tooltips = (node.text for node in nodes if node.tag.endswith("script"))
    assert "tooltip-trigger" in tooltips and "window.pygal.init" in tooltips
    # The script looks up its settings by the id of the chart.
    chart_id = ElementTree.fromstring(svg).get("id").removeprefix("chart-")
    assert f"window.pygal.config['{chart_id}']" in config
    assert json.loads(config[config.index("= {\"") + 2 :])["js"] == []


def test_tags_have_no_prefix_so_that_the_map_can_stand_in_a_page():
    svg, _ = world_map(COUNTRIES, title=TITLE)
    assert not re.findall(r"<\w+:\w+", svg)


def test_maps_of_one_page_have_ids_of_their_own():
    first, second = (world_map(COUNTRIES, title=title)[0] for title in ("one", "two"))
    ids = [ElementTree.fromstring(svg).get("id") for svg in (first, second)]
    assert len(set(ids)) == 2
    assert ids[0] not in second and ids[1] not in first


def test_the_same_input_gives_the_same_bytes_in_another_process_and_on_another_day():
    code = """if True:
        import datetime, hashlib, io, sys
        import pandas as pd
        import pygal.svg
        class Tomorrow(datetime.date):
            @classmethod
            def today(cls):
                return cls(2031, 5, 6)
        pygal.svg.date = Tomorrow
        from tasks.covid.world_map import world_map
        table = pd.read_json(io.StringIO(sys.stdin.read()), convert_dates=False)
        sys.stdout.buffer.write(world_map(table, title=sys.argv[1])[0].encode())
    """
    known = COUNTRIES[:6]
    done = subprocess.run(
        [sys.executable, "-c", code, TITLE], input=known.to_json().encode(), stdout=subprocess.PIPE,
        check=True, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
    )
    assert done.stdout == world_map(known, title=TITLE)[0].encode()
