"use strict";
// The world map: coloured for the chosen split, cell and L; says what is under the pointer or has the focus. Below it the
// same as a list, which can be searched and sorted.
(() => {
  const figure = document.getElementById("world-map");
  const { countries, maps } = JSON.parse(figure.querySelector("script").textContent);
  const choices = [...figure.querySelectorAll("select")];
  const places = [...figure.querySelectorAll("[data-country]")];
  const areas = places.filter((place) => place.matches(".area"));
  const tip = figure.querySelector(".tip");
  const list = figure.querySelector("tbody");
  const search = figure.querySelector("input");
  const headings = [...figure.querySelectorAll("thead th")];
  const whole = (share) => Math.round(100 * share);
  const percent = (share) => `${whole(share)}\u00a0%`;
  let rows; // of the chosen map: mean, least, most over the seeds, and how many there are

  function numbers(country) {
    if (!rows) return "no data";
    const [mean, least, most, seeds] = rows[countries.indexOf(country)];
    return percent(mean) + (seeds > 1 ? ` (${whole(least)} to ${percent(most)} over ${seeds} seeds)` : "");
  }

  function paint() {
    rows = maps[choices.map((choice) => choice.value).join(" ")]; // none where the run failed
    for (const place of places) {
      const country = place.dataset.country;
      const mean = rows ? rows[countries.indexOf(country)][0] : NaN;
      if (!place.matches(".area")) {
        place.textContent = `${country}: ${rows ? percent(mean) : "no data"}`;
        continue;
      }
      place.style.setProperty("--p", mean);
      place.classList.toggle("up", mean > 0.5);
      place.classList.toggle("down", mean <= 0.5);
      place.setAttribute("aria-label", `${country}: ${numbers(country)}`);
    }
    const ups = rows ? rows.filter(([mean]) => mean > 0.5).length : 0;
    for (const row of list.children) {
      const place = countries.indexOf(row.dataset.name);
      row.cells[1].textContent = rows ? whole(rows[place][0]) : "–";
    }
    sort();
    figure.querySelector(".ups").textContent = ups;
    figure.querySelector(".downs").textContent = rows ? rows.length - ups : 0;
  }

  function sort() { // by the heading that says that it is sorted
    const column = headings.findIndex((heading) => heading.ariaSort);
    const sign = headings[column].ariaSort === "ascending" ? 1 : -1;
    const value = (row) => row.cells[column].textContent;
    const compare = (a, b) => sign * value(a).localeCompare(value(b), "en", { numeric: true });
    list.append(...[...list.children].sort(compare));
  }

  function sortBy(heading) {
    const direction = heading.ariaSort === "ascending" ? "descending" : "ascending";
    for (const each of headings) each.ariaSort = each === heading ? direction : null;
    sort();
  }

  function find() {
    const words = search.value.trim().toLowerCase();
    for (const row of list.children) row.hidden = !row.dataset.name.toLowerCase().includes(words);
  }

  function show(area, x, y) {
    const frame = tip.parentElement.getBoundingClientRect();
    const name = document.createElement("b");
    name.textContent = area.dataset.country;
    tip.replaceChildren(name, numbers(area.dataset.country));
    tip.hidden = false;
    tip.style.left = `${Math.max(0, Math.min(x - frame.left + 12, frame.width - tip.offsetWidth))}px`;
    tip.style.top = `${Math.max(0, y - frame.top - tip.offsetHeight - 8)}px`;
  }

  function hide() {
    tip.hidden = true;
  }

  function step(event) {
    const ahead = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const now = areas.indexOf(event.target);
    const after = [...areas.slice(now + 1), ...areas.slice(0, now + 1)];
    const next = ahead ? after.at(ahead === 1 ? 0 : -2)
      : after.find((area) => area.dataset.country.toLowerCase().startsWith(event.key.toLowerCase()));
    if (event.key === "Escape") hide();
    if (!next || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  for (const choice of choices) {
    choice.disabled = false;
    choice.addEventListener("change", paint);
  }
  for (const area of areas) {
    area.addEventListener("pointermove", (event) => show(area, event.clientX, event.clientY));
    area.addEventListener("pointerleave", hide);
    area.addEventListener("focus", () => {
      const start = area.getPointAtLength(0).matrixTransform(area.getScreenCTM()); // on the longest of its outlines
      show(area, start.x, start.y);
    });
    area.addEventListener("blur", hide);
    area.addEventListener("keydown", step);
  }
  search.disabled = false;
  search.addEventListener("input", find);
  for (const heading of headings) heading.firstElementChild.addEventListener("click", () => sortBy(heading));
  areas[0].tabIndex = 0;
  paint();
})();
