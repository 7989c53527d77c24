"""A simulated epidemic in the form of the real case counts: what the study runs on without a network.

`simulate` is the model, step by step. Only the names of the countries are real.

Read next: download.py, how the real counts are downloaded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pycountry

from data import replacing

# The countries that had reported a case by 12 April 2020, of those that are in ISO 3166.
CODES = """
    ad ae af ag al am ao ar at au az ba bb bd be bf bg bh bi bj bn bo br bs bt bw by bz ca cd cf cg ch ci
    cl cm cn co cr cu cv cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fr ga gb gd ge gh gm gn gq gr
    gt gw gy hn hr ht hu id ie il in iq ir is it jm jo jp ke kg kh kn kr kw kz la lb lc li lk lr lt lu lv
    ly ma mc md me mg mk ml mm mn mr mt mu mv mw mx my mz na ne ng ni nl no np nz om pa pe pg ph pk pl ps
    pt py qa ro rs ru rw sa sc sd se sg si sk sl sm sn so sr ss st sv sy sz td tg th tl tn tr tt tw tz ua
    ug us uy uz va vc ve vn ye za zm zw
""".split()
BEFORE = 28  # days that the epidemic runs before the first day of the counts
LATENT, INFECTIOUS = 3, 4  # mean days
DISPERSION = 0.1 / INFECTIOUS  # a day; about 0.1 over an infection (Endo et al. 2020)
TRAVELLERS = 0.001  # share of the origin's people that travel on a day; it scales all travel
ALARM = 200_000  # reported cases in the world after which every country acts


def simulate(seed: int = 0, days: int = 82, start: str = "2020-01-22") -> pd.DataFrame:
    """Cumulative reported cases (days, 182) int64, in the form of `CaseCounts.cumulative`.

    A stochastic SEIR model in steps of one day; in every country S + E + I + R = N, whole people.

        infections    ~ Poisson(reproduction(t) / INFECTIOUS * S/N * spreading + imports)
        spreading     ~ Gamma(DISPERSION * I) / DISPERSION, of mean I
        imports[i]    = sum_j travel[i, j] * I[j] / N[j]
        travel[i, j]  = constant * attraction[i] * attraction[j] / (distance[i, j]^2 + 0.02)
        onsets        ~ Binomial(E, 1 / LATENT)
        recoveries    ~ Binomial(I, 1 / INFECTIOUS)
        waiting      += Binomial(onsets, detection), the cases that are detected
        reports       ~ Binomial(waiting, speed), slower at the weekend, none on a country's silent days

    The epidemic starts with 200 infected in the largest country; all other cases arrive by travel. The reproduction
    number falls over 14 days, from 1.8-3.2 to 0.6-1.2, once a country has reported a number of cases of its own, or
    the world ALARM. Rarely a country subtracts a tenth of its total: a late correction, which can make a daily
    difference negative.

    Populations (log-normal), places (in a unit square) and rates are drawn from `seed`, not measured. Rates
    that follow from real-valued draws are rounded: one seed gives the same counts on every machine.

    Kermack & McKendrick 1927 (the model); Lloyd-Smith et al. 2005 (superspreading as a gamma draw);
    Zipf 1946 (travel by the size of both places and the distance).
    """
    # RandomState, whose stream is frozen (NEP 19): that of Generator.binomial changed with numpy 2.5.
    rng = np.random.RandomState(seed)
    C = len(CODES)
    N = np.clip(np.rint(rng.lognormal(16, 1.8, C)), 20_000, 1_400_000_000).astype(np.int64)
    origin = N.argmax()
    place = rng.random_sample((C, 2))
    squared_distance = ((place[:, None] - place) ** 2).sum(axis=-1)
    openness = rng.lognormal(0, 0.7, C).round(3)
    attraction = openness * np.sqrt(N)
    travel = attraction[:, None] * attraction / (squared_distance + 0.02)
    np.fill_diagonal(travel, 0)
    travel *= TRAVELLERS * N[origin] / travel[:, origin].sum()
    reproduction_before = rng.uniform(1.8, 3.2, C)
    reproduction_after = rng.uniform(0.6, 1.2, C)
    acts_at = rng.randint(20, 5000, C)
    detection = rng.lognormal(-3.2, 1, C).round(4).clip(0.002, 0.5)
    speed = rng.uniform(0.15, 0.6, C)
    reproduction_before[origin], detection[origin], speed[origin], acts_at[origin] = 2.8, 0.1, 0.3, 300
    weekend = rng.uniform(0.4, 1.0, C)
    silent = 0.15 * rng.random_sample(C) ** 2

    S, E, I, waiting, reported, acting = N.copy(), *np.zeros((5, C), np.int64)
    E[origin] = 200
    S -= E
    calendar = pd.date_range(end=pd.Timestamp(start) + pd.Timedelta(days=days - 1), periods=BEFORE + days)
    cumulative = np.empty((len(calendar), C), np.int64)
    for t, day in enumerate(calendar):
        acting = np.where((acting > 0) | (reported > acts_at) | (reported.sum() > ALARM), acting + 1, 0)
        eased = np.minimum(acting, 14) / 14
        reproduction = reproduction_before + eased * (reproduction_after - reproduction_before)
        spreading = rng.standard_gamma(DISPERSION * I).round(6) / DISPERSION
        imports = (travel * (I / N)).sum(axis=1)
        infections = rng.poisson(np.round(reproduction / INFECTIOUS * S / N * spreading + imports, 6))
        infections = np.minimum(infections, S)
        onsets = rng.binomial(E, 1 / LATENT)
        recoveries = rng.binomial(I, 1 / INFECTIOUS)
        S, E, I = S - infections, E + infections - onsets, I + onsets - recoveries

        waiting += rng.binomial(onsets, detection)
        open_today = rng.random_sample(C) > silent
        reports = rng.binomial(waiting, speed * open_today * (weekend if day.weekday() >= 5 else 1))
        struck_off = rng.binomial(reported, 0.1 * (rng.random_sample(C) < 1 / 250))
        waiting -= reports
        reported = reported + reports - struck_off
        cumulative[t] = reported

    countries = [pycountry.countries.get(alpha_2=code.upper()) for code in CODES]
    names = [getattr(country, "common_name", country.name) for country in countries]
    table = pd.DataFrame(cumulative[-days:], calendar[-days:].rename("date"), pd.Index(names, name="country"))
    return table.sort_index(axis=1)


def write_pivot(cumulative: pd.DataFrame, path: str | Path) -> None:
    """Write counts (T, C) as the pivot table with three header rows that `covid.read_cases` reads.

    Lat and Long are 0: the format has them, nothing uses them.
    """
    table = cumulative.T.rename_axis(index="Country/Region")
    table.columns = [f"{day.month}/{day.day}/{day:%y}" for day in cumulative.index]
    table.insert(0, "Lat", 0.0)
    table.insert(1, "Long", 0.0)
    table.columns = pd.MultiIndex.from_product([table.columns, ["sum"]])
    with replacing(Path(path)) as beside:
        table.to_csv(beside)
