from __future__ import annotations

import base64
import functools
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pygal_maps_world.maps import World

from data.covid import CaseCounts
from tasks.common.progress import duration
from tasks.covid.world_map import world_map
from tasks.study import figures as study_figures
from tasks.study import figures_covid, figures_vae
from tasks.study import page as report
from tasks.study.maps import coarse, outlines, world_maps
from tasks.study.page import extent, mean, page
from tasks.study.results import Cases, Study
from tests.tasks.study import made_up

ODD, LACKING = "<script>alert(1)</script> & 'co'", "Kosovo <b>&amp;</b>"  # the map has the one, and lacks the other
COUNTRIES = {"France": "fr", "Italy": "it", LACKING: "xk", ODD: "td", "Namibia": "na"}
SIZE = 4

# -- a study that is made up --------------------------------------------------------------------------------------


def covid_run(cell="lstm", L=5, split="time", seed=0, accuracy=0.6, probabilities=(0.7, 0.2, 0.6, 0.9, 0.5), **data):
    return made_up.sequence_run(
        cell, L, split, seed, train=made_up.scores(0.8, confusion=[[600, 100], [50, 50]]),
        test=made_up.scores(accuracy),
        rule=made_up.baseline(0.62) | {"train": made_up.scores(0.75)},
        regression=made_up.baseline(0.61) | {"train": made_up.scores(0.75)},
        history={"epoch": [1, 2, 3], "train_loss": [0.7, 0.6, 0.5], "test_loss": [0.7, 0.65, 0.66],
                 "train_accuracy": [0.6, 0.7, 0.8], "test_accuracy": [0.5, 0.55, accuracy]},
        probabilities=pd.DataFrame({"country": COUNTRIES.keys(), "iso2": COUNTRIES.values(),
                                    "probability": probabilities, "last_day": "2020-02-20"}),
        **{"source": "counts.csv"} | data)


def grid(rows: int, columns: int, shade: int) -> bytes:
    """Images of one grey each, a level lighter from row to row, as a grid with white gaps."""
    tiles = np.full((rows, SIZE + 2, columns, SIZE + 2, 3), 255, np.uint8)
    tiles[:, :SIZE, :, :SIZE] = (shade + np.arange(rows))[:, None, None, None, None]
    file = io.BytesIO()
    Image.fromarray(tiles.reshape(rows * (SIZE + 2), columns * (SIZE + 2), 3)[:-2, :-2]).save(file, "PNG")
    return file.getvalue()


def vae_run(kl=1.0, per_channel=False, elbo=700.0, shade=0, **data):
    terms = {"negative_elbo": elbo, "reconstruction": elbo - 20, "kl": 20.0}
    history = {"epoch": [1, 2, 3]} | {f"{name}_{term}": [value + 9, value + 5, value]
                                      for name in ("train", "test") for term, value in terms.items()}
    rows = {"reconstructions": 4, "prior_samples": 5, "posterior_samples": 6, "interpolation": 6, "traversal": 8}
    return made_up.image_run(
        kl, per_channel, train=terms, test=terms | {"importance_weighted": elbo - 5}, history=history,
        learned={"sigma": 0.113, "kl_weight": 0.0128, "train": -750.0, "test": -700.0},
        pictures={name: grid(count, 10, shade) for name, count in rows.items()},
        data={"source": "pictures", "size": SIZE} | data)


def whole_study() -> Study:
    """Two cells, two L, two seeds, both splits, save what failed; three weights; a country with an odd name."""
    r = np.full((5, 5), 0.625)
    r[4] = r[:, 4] = -0.25
    np.fill_diagonal(r, 1)
    names, days = list(COUNTRIES), pd.date_range("2020-01-22", periods=30, name="date")
    cumulative = pd.DataFrame(np.add.outer(np.arange(30), [3, 1, 4, 5, 2]), days, names)
    cases = Cases(CaseCounts(cumulative, "counts.csv", False, ("A <b>note</b>.",)), pd.DataFrame(r, names, names),
                       names[:4], 0.5)
    p = {3: np.array([0.2, 0.1, 0.8, 0.6, 0.4]), 5: np.array([0.9, 0.1, 0.7, 0.6, 0.4])}
    covid = [covid_run(cell, L, split, seed, 0.6 + 0.1 * seed, p[L] + 0.04 * seed)
             for split in ("random", "time") for cell in ("rnn", "lstm") for L in (3, 5) for seed in (0, 1)
             if (split, cell, L) != ("time", "lstm", 5)]
    vae = [vae_run("learned", elbo=720.0, shade=10), vae_run(1.0, per_channel=True, elbo=690.5, shade=20), vae_run(1.0)]
    return Study(covid, vae, {"lstm, L = 5": f"it met {ODD}"}, cases,
                 {"command": "python run.py study --only <all>", "versions": {"python": "3.12.1", "numpy": "2.4.0"},
                  "seeds": [0, 1], "seconds": 4000.0, "workers": 2})


@functools.cache
def made_up_page() -> str:
    return page(whole_study())


class Parsed(HTMLParser):
    """The tags of a page; its tables as rows of cells; its headings as (level, text); and all its text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.rows, self.headings, self.scripts, self.text = [], [], [], [], ""
        self.inside, self.html = [], html
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" in self.inside:
            self.scripts[-1] += data
        elif "style" not in self.inside:
            self.text += data
        if {"th", "td"} & set(self.inside):
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())
        for tag in self.inside:
            if re.fullmatch("h[1-6]", tag):
                self.headings[-1] = self.headings[-1][0], self.headings[-1][1] + data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def whole() -> Parsed:
    return Parsed(made_up_page())


@pytest.fixture
def parsed(monkeypatch):
    """Parses the page of a study, without its figures, which take most of the time."""
    for module, names in ((figures_covid, ("curves", "curves_by_length", "scores_over_length")),
                          (figures_vae, ("elbo_by_weight", "terms_by_weight"))):
        for name in names:
            monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(study_figures, "svg", lambda figure: "<svg></svg>")
    monkeypatch.setattr(report, "answers", lambda study: [])
    return lambda **changed: Parsed(page(replace(whole_study(), **changed)))


# -- the page as a whole ------------------------------------------------------------------------------------------


def test_the_order_is_that_of_the_questions(whole):
    assert [text for level, text in whole.headings if level < 4] == [
        "Recurrent networks on case counts, and a variational autoencoder of images", "Contents",
        "Case counts", "The data", "The RNN", "LSTM, GRU, and L", "Why longer windows do not help",
        "Why accuracy does not follow the ranking", "World maps", "Discussion",
        "Images", "Images and model", "The weights of the KL term", "Reconstructions", "Samples", "Interpolation",
        "Discussion", "How this was made"]


def test_headings_go_down_by_one_level(whole):
    levels = [level for level, _ in whole.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


@pytest.mark.parametrize("missing", [{"vae": []}, {"covid": [], "cases": None}])
def test_the_contents_lead_somewhere(parsed, missing):
    found = parsed(**missing)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in found.all("a")]
    assert "#made" in links and set(links) <= {f"#{name}" for name in ids}
    assert len(links) == len([level for level, _ in found.headings if level in (2, 3)])  # one to what failed


def test_nothing_comes_from_elsewhere(whole):
    for tag, attributes in whole.tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert re.match("#|data:image/(webp|png);base64,", attributes.get(name) or "#"), (tag, name)
    assert not whole.all("link")
    assert not re.search(r"@import|url\((?!#)", whole.html)


def test_what_is_drawn_has_words_for_it(whole):
    assert whole.all("html") == [{"lang": "en-GB"}]
    assert all(image["alt"] for image in whole.all("img")) and len(whole.all("img")) == 17
    assert all(svg.get("aria-label") for svg in whole.all("svg"))
    assert all(cell.get("scope") for cell in whole.all("th")) and whole.all("th")


def test_only_one_part(parsed):
    covid = parsed(vae=[])
    assert "Images" not in [text for _, text in covid.headings] and not covid.all("img")
    assert covid.headings[0][1] == "Recurrent networks on case counts"
    vae = parsed(covid=[], cases=None)
    assert "World maps" not in [text for _, text in vae.headings] and len(vae.scripts) == 1
    assert vae.headings[0][1] == "A variational autoencoder of images"
    neither = parsed(covid=[], vae=[], cases=None)
    assert [text for _, text in neither.headings][-1] == "How this was made"


def test_parts_of_the_grid(parsed):
    runs = whole_study().covid
    no_rnn = parsed(covid=[run for run in runs if run.config["cell"] != "rnn"])
    assert "The RNN" not in [text for _, text in no_rnn.headings]
    one = parsed(covid=[run for run in runs if run.config["split"] == "random"][:1], cases=None)
    assert "The data" not in [text for _, text in one.headings] and "leaks" in one.text


@pytest.mark.parametrize("covid, vae, words", [
    (False, False, []),
    (True, False, ["The case counts are simulated."]),
    (False, True, ["The faces are simulated."]),
])
def test_simulated_data_say_so(parsed, covid, vae, words):
    found = parsed(covid=[covid_run(simulated=covid)], vae=[vae_run(simulated=vae)])
    assert re.findall(r"The [a-z ]+ are simulated\.", found.text) == words


def test_every_figure_of_simulated_data_says_so(monkeypatch):
    monkeypatch.setattr(study_figures, "svg", lambda figure: figure.get_suptitle())
    study = whole_study()
    cases = replace(study.cases, counts=replace(study.cases.counts, source="simulated epidemic"))
    html = page(replace(study, cases=cases, covid=[covid_run("rnn", source="simulated epidemic", simulated=True)],
                        vae=[vae_run(source="drawn faces (simulated)", simulated=True)]))
    figures = re.findall("<figure.*?</figure>", html, re.DOTALL)
    assert len(figures) == 26
    assert [figure for figure in figures if "simulated" not in figure and 'class="diagram"' not in figure] == []


def test_a_name_is_a_name(whole):
    assert len(whole.scripts) == 3
    assert ODD in json.loads(whole.scripts[0])["countries"]
    assert ODD in whole.text and LACKING in whole.text
    assert "<b>note</b>" in whole.text and "--only <all>" in whole.text


def test_how_it_was_made(whole, parsed):
    text = " ".join(whole.text.split())
    assert "14 of case counts, 3 of images" in text
    assert "Versions python 3.12.1, numpy 2.4.0 Seeds 0, 1 Time taken 1 h 6 min Workers 2" in text
    assert f"lstm, L = 5: it met {ODD}" in text
    assert "Runs that failed: 1." in text and "failed" not in parsed(failed={}).text.lower()


# -- the case counts ----------------------------------------------------------------------------------------------


def test_what_was_dropped_and_by_how_much(whole, parsed):
    text = " ".join(whole.text.split())
    assert "counts.csv, cumulative confirmed cases of 5 countries from 2020-01-22 to 2020-02-20, 30 days" in text
    assert "above 0.5 with those of some other: 4 are." in text
    assert "Dropped, with the highest correlation that each has: Namibia (−0.25)." in text
    cases = replace(whole_study().cases, kept=list(COUNTRIES))
    assert "None was dropped." in parsed(cases=cases).text


def test_the_windows_are_counted_in_the_confusion(whole):
    assert ["L = 3", "800", "12.5 %", "200", "40.0 %"] in whole.rows


def test_the_scores_stand_beside_what_is_simple(whole):
    rows = [row for row in whole.rows if "LSTM" in row]
    assert len(rows) == 3  # time with L = 3, random with both; the first cell of an L carries it
    of_the_network = "55.0", "0.580", "0.700", "15.0 10.0 to 20.0"
    assert rows[0] == ["LSTM", "65.0 60.0 to 70.0", "61.0", "62.0", "57.0", *of_the_network]
    assert [row[:2] for row in whole.rows if "RNN" in row][:2] == [["3", "RNN"], ["5", "RNN"]]


@pytest.mark.parametrize("accuracy, best", [(0.7, "70.0"), (0.6, "62.0")])
def test_the_largest_accuracy_of_a_row_is_bold(parsed, accuracy, best):
    html = parsed(covid=[covid_run(accuracy=accuracy)], vae=[]).html
    assert [text.strip() for text in re.findall(r"<td><b>(.*?)</b></td>", html, re.DOTALL)] == [best]


def test_one_seed_has_no_spread(parsed):
    rows = [row for row in parsed(covid=[covid_run(accuracy=0.6)]).rows if "LSTM" in row]
    assert rows[0][1:4] == ["LSTM", "60.0", "61.0"]


@pytest.mark.parametrize("values, written", [
    ([0.5, 0.6], ("55.0", "50.0 to 60.0")), ([0.5], ("50.0", "")), ([0.5, 0.50001], ("50.0", "")),
    ([-0.01, -0.03], ("−2.0", "−3.0 to −1.0")), ([-0.0001], ("0.0", "")), ([np.nan, np.nan], ("–", "")),
    ([np.nan, 0.5], ("50.0", "")),
])
def test_means_and_extents(values, written):
    assert (mean(pd.Series(values)), extent(pd.Series(values))) == written


@pytest.mark.parametrize("seconds, written", [
    (4000, "1 h 6 min"), (75.4, "1 min 15 s"), (3.6, "4 s"), (3599.7, "1 h 0 min"),
])
def test_durations(seconds, written):
    assert duration(seconds) == written


# -- the maps -----------------------------------------------------------------------------------------------------


def test_a_map_is_the_mean_over_the_seeds():
    found = world_maps(whole_study().covid)
    assert list(found.probabilities) == [(split, cell, L) for split in ("time", "random")
                                for cell in ("rnn", "lstm") for L in (3, 5) if (split, cell, L) != ("time", "lstm", 5)]
    assert found.probabilities["time", "rnn", 3].loc["France"].tolist() == pytest.approx([0.22, 0.2, 0.24, 2])
    assert found.probabilities["time", "rnn", 5].loc["France"].tolist() == pytest.approx([0.92, 0.9, 0.94, 2])
    assert all(list(rows.index) == found.countries for rows in found.probabilities.values())
    assert found.lacking == [LACKING] and set(found.outlines) == set(COUNTRIES) - {LACKING}
    assert found.last_day == "2020-02-20"


def test_the_numbers_of_all_maps_are_on_the_page(whole):
    found = json.loads(whole.scripts[0])
    assert found["countries"] == sorted(COUNTRIES) and len(found["maps"]) == 7
    rows = dict(zip(found["countries"], found["maps"]["random lstm 5"], strict=True))
    assert rows["France"] == [0.92, 0.9, 0.94, 2] and rows[ODD] == [0.62, 0.6, 0.64, 2]


def test_the_first_map_is_coloured_without_a_script(whole):
    areas = {area["data-country"]: area for area in whole.all("path") if "data-country" in area}
    assert areas["France"]["class"] == "area down" and areas["France"]["style"] == "--p: 0.22"
    assert areas[ODD]["class"] == "area up" and areas[ODD]["aria-label"] == f"{ODD}: 62 %"
    assert {select["name"] for select in whole.all("select")} == {"split", "cell", "L"}
    assert f"{LACKING}: 82 %" in whole.text
    assert "Ascending in 2 countries, descending in 3." in whole.text


def test_every_outline_of_pygal_is_there():
    svg, _ = world_map(covid_run().probabilities, title="")
    found = outlines(svg)
    assert set(found) == set(re.findall('<g class="(..) country', World.svg_map))
    assert all(path.startswith("M") and path.endswith("z") for path in found.values())
    assert 100_000 < sum(map(len, found.values())) < 150_000
    first, *others = found["us"][1:].split("M")
    assert len(first) > max(map(len, others))  # so that a tip stands by the mainland
    chosen = world_maps([covid_run()])
    assert sum(map(len, chosen.outlines.values())) + len(chosen.others) == sum(map(len, found.values()))


@pytest.mark.parametrize("path, outline", [
    ("m10.4 20.4l3 0 0 3", "M10 20l+3+0+0+3z"),
    ("m10 20h3v4", "M10 20l+3+0+0+4z"),
    ("m0 0c9 9 9 9 2 0s9 9-3 5.2", "M0 0l+2+0-3+5z"),
    ("m1 1 5 0 0 5m4 4 2 0 0 2", "M1 1l+5+0+0+5zM10 10l+2+0+0+2z"),
    ("m0 0.3 0.3 0.3 0.3.3 0 4 4 0", "M0 0l+0+1+1+0+0+4+4+0z"),
    ("m7.5 7.5 0.1 0.1", "M8 8h1v1h-1z"),
])
def test_a_coarse_path_has_whole_points(path, outline):
    assert coarse(path) == outline


def test_rounding_does_not_add_up():
    assert coarse("m0 0" + " .4 .4" * 10 + " 4-4").endswith("+1+1+4-4z")
    assert sum(int(number) for number in re.findall(r"[+]\d+", coarse("m0 0" + " .4 0" * 100))) == 40


# -- the images ---------------------------------------------------------------------------------------------------


def strip_rows(image: dict) -> list[int]:
    """The greys of the first column of a strip, from the top."""
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))).convert("L"))
    assert pixels.shape == (int(image["height"]), int(image["width"])) and pixels.shape[1] == 10 * (SIZE + 2) - 2
    assert (pixels.shape[0] + 2) % (SIZE + 2) == 0  # no white below the last row
    return pixels[::SIZE + 2, 0].tolist()


def test_weights_stand_in_order_below_the_test_images(whole):
    rows = {image["alt"]: strip_rows(image) for image in whole.all("img")}
    names = ("weight 1", "learned", "weight 1, each channel by itself")
    assert list(rows)[:4] == ["Reconstructions: test images", *(f"Reconstructions: {name}" for name in names)]
    assert list(rows.values())[:4] == [[0], [1], [11], [21]]
    assert [rows[f"Samples from the prior: {name}"] for name in names] == [[0], [10], [20]]
    assert rows["Samples from posteriors: test images"] == [0]
    assert [rows[f"Samples from posteriors: {name}"] for name in names] == [[1, 2], [11, 12], [21, 22]]
    assert [rows[f"Interpolation: {name}"] for name in names] == [[0, 1], [10, 11], [20, 21]]


@pytest.mark.parametrize("splits, times", [(["time"], 0), (["random"], 1), (["time", "random"], 1)])
def test_wherever_the_scores_of_the_random_split_stand_it_is_said_that_it_leaks(parsed, splits, times):
    found = parsed(covid=[covid_run(split=split) for split in splits], vae=[])
    assert found.text.count("this is no measure of how") == times


def test_a_probability_of_exactly_one_half_is_no_rise():
    assert report.sequences([covid_run(probabilities=(0.7, 0.2, 0.6, 0.9, 0.5))])["ups"] == 3


def test_a_model_of_one_latent_has_one_row():
    run = vae_run()
    run.pictures["traversal"] = grid(1, 9, 0)
    assert report.images([run])["strips"]["traversal"][0]["height"] == SIZE


def test_the_table_of_the_elbo(whole):
    rows = {row[0]: row[1:] for row in whole.rows}
    assert rows["learned"] == ["720.0", "720.0", "700.0", "20.0", "0.900", "18", "705.0", "715.0"]
    assert rows["weight 1, each channel by itself"][:3] == ["690.5", "690.5", "670.5"]
    assert re.findall(r"<td><b>(.*?)</b></td>", whole.html)[-1] == "690.5"


def test_the_diagram_has_the_numbers_of_the_model(whole, parsed):
    diagram = re.compile(r"image x\s*48 numbers\s*hidden\s*400 units, relu\s*mean\s*20\s*log-variance\s*20")
    assert diagram.search(whole.text)
    assert "one model of 16 numbers: three codes an image" in " ".join(whole.text.split())
    grey = parsed(vae=[vae_run(1.0, per_channel=True, channels=1)])
    assert "so that this is weight 1 once more" in " ".join(grey.text.split())
