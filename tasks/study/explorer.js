"use strict";
// The sequence explorer: draws what cells.js computes of the chosen days, and listens to the reader.
(() => {
  const figure = document.getElementById("explorer");
  const { countries, dropped, days, cases, first_test: firstTest, largest, networks } =
    JSON.parse(figure.querySelector("script").textContent);
  const find = (selector, within = figure) => within.querySelector(selector);
  const control = (name, within = figure) => find(`[name="${name}"]`, within);
  const percent = (p) => `${Math.round(100 * p)}\u00a0%`;
  const [LEFT, RIGHT] = [66, 8]; // margins of every drawing, so that the same day stands in the same column
  const NAMES = { i: "input gate", f: "forget gate", g: "candidate", o: "output gate", c: "cell state",
    h: "hidden state", r: "reset gate", z: "update gate", n: "candidate" };
  const WORDS = { true: "more", false: "as many or fewer" };

  // -- what is chosen ----------------------------------------------------------------------------------------------

  let country, L, asked; // indices of a country and of the day to forecast; `days.length` is the day after the data
  let values = []; // new cases of the window, as the reader has changed them
  let selected = 0; // the day of the window that the keyboard changes
  const trainedCells = new Set(Object.keys(networks).map((name) => name.split(" ")[0]));
  const [one, other] = ["gru", "rnn", "lstm"].filter((cell) => trainedCells.has(cell));
  const panels = [one, other ?? one].map(makePanel);

  const real = (day = asked) => cases[country].slice(day - L, day);
  const dateOf = (t) => { // also of the day after the data
    const date = new Date(`${days[0]}T00:00:00Z`);
    date.setUTCDate(date.getUTCDate() + t);
    return date.toISOString().slice(0, 10);
  };
  const happened = (day) => (day < days.length ? cases[country][day] > cases[country][day - 1] : null);
  const forecast = (net, window) => cells.sigmoid(cells.logitOf(net, cells.read(net, cells.features(window)).at(-1).h));
  const shownPanels = () => panels.slice(0, control("two").checked ? 2 : 1);

  function trained(cell) {
    const found = networks[`${cell} ${L}`];
    if (!found) return null; // that run failed
    const bytes = Uint8Array.from(atob(found.weights), (character) => character.charCodeAt(0));
    return cells.network(cell, found.hidden, new Float32Array(bytes.buffer));
  }

  // -- drawing ------------------------------------------------------------------------------------------------------

  const set = (made, attributes) => Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));

  // An SVG element; children are elements, or text.
  function element(name, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    set(made, attributes);
    made.append(...children);
    return made;
  }

  const text = (x, y, content, anchor = "end") => element("text", { x, y, "text-anchor": anchor }, content);

  // Empty an svg and give it this height; returns the width of a column of `count`, and where column t begins.
  function prepare(svg, height, count) {
    const width = Math.max(svg.clientWidth, 200);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    const step = (width - LEFT - RIGHT) / count;
    return { width, step, at: (t) => LEFT + t * step };
  }

  // New cases to height: linear, from the least (0, or below it where counts were corrected) to beyond the most.
  let scale = { low: 0, high: 10 };
  function rescale() {
    scale = { low: Math.min(0, ...values), high: Math.max(10, 1.25 * Math.max(...values)) };
  }
  const TOP = 8, FLOOR = 148;
  const heightOf = (v) => FLOOR - (FLOOR - TOP) * (v - scale.low) / (scale.high - scale.low);
  const caseAt = (y) => Math.round(scale.low + (scale.high - scale.low) * (FLOOR - y) / (FLOOR - TOP));

  // The bars stay the same elements while their values change: a drag goes on, and a screen reader stays where it is.
  function buildBars() {
    const svg = find(".bars");
    const { width, step, at } = prepare(svg, 172, L);
    svg.append(text(LEFT - 6, TOP + 8, ""), text(LEFT - 6, FLOOR, "0"),
      element("line", { x1: LEFT, x2: width - RIGHT, class: "axis" }));
    for (let t = 0; t < L; t += 1) {
      const bar = element("g", { role: "slider", "data-day": t, "aria-orientation": "vertical" },
        element("rect", { x: at(t), y: 0, width: step, height: 172, class: "reach" }),
        element("rect", { x: at(t) + step * 0.1, width: step * 0.8, class: "bar" }),
        element("line", { x1: at(t), x2: at(t) + step, class: "real" }));
      if (t % Math.ceil(34 / step) === 0) bar.append(text(at(t) + step / 2, 166, "", "middle"));
      svg.append(bar);
    }
  }

  function drawBars() {
    const svg = find(".bars");
    const zero = heightOf(0);
    const [top, nought] = svg.querySelectorAll(":scope > text");
    top.textContent = Math.round(scale.high).toLocaleString("en");
    set(nought, { y: zero });
    set(find(".axis", svg), { y1: zero, y2: zero });
    const window = real();
    for (const bar of svg.querySelectorAll("[role=slider]")) {
      const t = Number(bar.dataset.day);
      const [v, date] = [values[t], dateOf(asked - L + t)];
      const y = Math.max(TOP, Math.min(FLOOR, heightOf(v)));
      set(bar, { tabindex: t === selected ? 0 : -1, "aria-label": `New cases on ${date}`, "aria-valuenow": v,
        "aria-valuemin": Math.min(0, v), "aria-valuemax": Math.max(Math.round(scale.high), v),
        "aria-valuetext": `${v}${v === window[t] ? "" : `, really ${window[t]}`}` });
      bar.classList.toggle("selected", t === selected);
      bar.classList.toggle("changed", v !== window[t]);
      set(find(".bar", bar), { y: Math.min(y, zero), height: Math.max(1.5, Math.abs(y - zero)) });
      set(find(".real", bar), { y1: heightOf(window[t]), y2: heightOf(window[t]) });
      if (find("text", bar)) find("text", bar).textContent = date.slice(5);
    }
    find("span.selected").textContent = dateOf(asked - L + selected);
    if (document.activeElement !== control("cases")) control("cases").value = values[selected];
    control("back").disabled = values[selected] === window[selected];
  }

  function drawProbability(svg, p) {
    const { width, step, at } = prepare(svg, 96, L);
    const y = (value) => 84 - 76 * value;
    for (const value of [0, 0.5, 1]) {
      svg.append(element("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "axis" }),
        text(LEFT - 6, y(value) + 4, percent(value)));
    }
    const points = p.map((value, t) => [at(t) + step / 2, y(value)]);
    svg.append(element("polyline", { points: points.join(" "), class: "line" }));
    points.forEach(([cx, cy], t) => svg.append(element("circle", { cx, cy, r: 3, class: p[t] > 0.5 ? "up" : "down" },
      element("title", {}, `after ${dateOf(asked - L + t)}: ${percent(p[t])}`))));
    svg.setAttribute("aria-label", `Probability after each day: ${p.map(percent).join(", ")}`);
  }

  function drawDerivative(svg, d) {
    const { width, step, at } = prepare(svg, 76, L);
    const most = Math.max(0.01, ...d.map(Math.abs));
    svg.append(element("line", { x1: LEFT, x2: width - RIGHT, y1: 38, y2: 38, class: "axis" }),
      text(LEFT - 6, 12, `+${most.toFixed(2)}`), text(LEFT - 6, 74, `−${most.toFixed(2)}`));
    d.forEach((value, t) => svg.append(element("rect", { x: at(t) + step * 0.2, width: step * 0.6,
      y: 38 - 36 * Math.max(0, value) / most, height: 36 * Math.abs(value) / most, class: value > 0 ? "up" : "down" },
    element("title", {}, `${dateOf(asked - L + t)}: ${value.toFixed(3)}`))));
    const said = d.map((value) => value.toFixed(2)).join(", ");
    svg.setAttribute("aria-label", `Derivative of the logit by each day: ${said}`);
  }

  // A pixel for each unit and day: -1 blue, 0 white, 1 red.
  function drawStrip(canvas, rows) {
    [canvas.width, canvas.height] = [rows.length, rows[0].length];
    const image = new ImageData(canvas.width, canvas.height);
    rows.forEach((units, t) => units.forEach((value, unit) => {
      const a = Math.min(1, Math.abs(value));
      const far = value > 0 ? [178, 24, 43] : [33, 102, 172];
      image.data.set([...far.map((level) => 255 - a * (255 - level)), 255], 4 * (unit * rows.length + t));
    }));
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  // -- a network ----------------------------------------------------------------------------------------------------

  function makePanel(cell, number) {
    const root = document.createElement("section");
    root.className = "network";
    root.setAttribute("aria-label", `Network ${number + 1}`);
    root.innerHTML = `<form><label>cell <select name="cell" autocomplete="off"><option value="rnn">RNN</option>
      <option value="lstm">LSTM</option><option value="gru">GRU</option></select></label>
      <label>weights <select name="weights" autocomplete="off"><option>trained</option><option>random</option></select>
      </label>
      <button type="button" name="again" hidden>Draw others</button></form>
      <p class="answer"></p><div class="drawn"><h5>Probability of more new cases, as the window is read</h5>
      <svg class="probability" role="img"></svg><h5>Derivative of the logit by each day</h5>
      <svg class="derivative" role="img"></svg><h5>Gates and state of every unit</h5><div class="gates"></div>
      <p class="value"></p></div>`;
    find(".networks").append(root);
    const panel = { root, net: null, states: [], p: [] };
    control("cell", root).value = cell;
    for (const [name, kind] of [["cell", "change"], ["weights", "change"], ["again", "click"]]) {
      control(name, root).addEventListener(kind, () => {
        choose(panel);
        update();
      });
    }
    find("form", root).addEventListener("submit", (event) => event.preventDefault());
    return panel;
  }

  // Take the trained weights of the chosen cell and L, or draw random ones.
  function choose(panel) {
    const cell = control("cell", panel.root).value;
    const random = control("weights", panel.root).value === "random";
    control("again", panel.root).hidden = !random;
    const hidden = Object.values(networks)[0].hidden;
    panel.net = random ? cells.randomNetwork(cell, hidden) : trained(cell);
    panel.name = `${cell.toUpperCase()}, ${random ? "random weights" : "trained"}`;
    panel.past = null;
    find(".gates", panel.root).replaceChildren();
  }

  function drawPanel(panel) {
    const { root, net } = panel;
    find(".drawn", root).hidden = !net;
    if (!net) {
      find(".answer", root).textContent = "There is no such network: its run is missing.";
      return;
    }
    const x = cells.features(values);
    panel.states = cells.read(net, x);
    panel.p = panel.states.map(({ h }) => cells.sigmoid(cells.logitOf(net, h)));
    find(".answer", root).textContent = `${panel.name}: ${percent(panel.p.at(-1))}`;
    drawProbability(find(".probability", root), panel.p);
    drawDerivative(find(".derivative", root), cells.sensitivity(net, x));
    const strips = find(".gates", root);
    for (const gate of Object.keys(panel.states[0])) {
      const canvas = find(`canvas[data-gate="${gate}"]`, strips) ?? addStrip(panel, gate);
      drawStrip(canvas, panel.states.map((state) => state[gate]));
    }
  }

  function addStrip(panel, gate) {
    const label = document.createElement("span");
    label.textContent = `${gate} ${NAMES[gate].split(" ")[0]}`;
    const canvas = document.createElement("canvas");
    canvas.dataset.gate = gate;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${NAMES[gate]}: a row for each unit, a column for each day`);
    canvas.addEventListener("pointermove", (event) => {
      const unit = Math.min(canvas.height - 1, Math.floor(canvas.height * event.offsetY / canvas.clientHeight));
      const t = Math.min(L - 1, Math.floor(L * event.offsetX / canvas.clientWidth));
      if (unit < 0 || t < 0) return;
      find(".value", panel.root).textContent = `${NAMES[gate]} of unit ${unit + 1} after ${dateOf(asked - L + t)}: ` +
        panel.states[t][gate][unit].toFixed(2).replace("-", "−");
    });
    find(".gates", panel.root).append(label, canvas);
    return canvas;
  }

  // -- the test days of the country -----------------------------------------------------------------------------------

  function drawHistory() {
    const svg = find(".history");
    const focused = svg.contains(document.activeElement);
    const shown = shownPanels().filter(({ net }) => net);
    const first = Math.max(firstTest, L);
    const count = days.length - first + 1;
    const { width, step, at } = prepare(svg, 132, count);
    const y = (p) => 104 - 96 * p;
    for (let day = first; day <= days.length; day += 1) {
      const truth = happened(day);
      const k = day - first;
      const said = shown.map((panel) => `${panel.name} ${percent(past(panel, first)[k])}`).join("; ");
      const column = element("g", { role: "button", tabindex: day === asked ? 0 : -1, "data-day": day,
        "aria-pressed": day === asked, class: day === asked ? "selected" : "",
        "aria-label": `${dateOf(day)}: ${said}; ${truth === null ? "not known yet" : `in truth ${WORDS[truth]}`}` });
      const colour = truth === null ? "" : truth ? "up" : "down";
      column.append(element("rect", { x: at(k), y: 8, width: step, height: 96, class: `truth ${colour}` }));
      shown.forEach((panel, number) => {
        const [cx, cy] = [at(k) + step / 2, y(past(panel, first)[k])];
        column.append(number ? element("rect", { x: cx - 4, y: cy - 4, width: 8, height: 8, class: "second" })
          : element("circle", { cx, cy, r: 4, class: "first" }));
      });
      if (k % Math.ceil(34 / step) === 0) column.append(text(at(k) + step / 2, 122, dateOf(day).slice(5), "middle"));
      svg.append(column);
    }
    svg.append(element("line", { x1: LEFT, x2: width - RIGHT, y1: y(0.5), y2: y(0.5), class: "axis" }));
    for (const value of [0, 0.5, 1]) svg.append(text(LEFT - 6, y(value) + 4, percent(value)));
    if (focused) svg.querySelector("[tabindex='0']").focus();
    drawRecord(shown, first);
  }

  // The forecasts of a network from the real windows of the test days, and of the day after the data.
  function past(panel, first) {
    panel.past ??= Array.from({ length: days.length - first + 1 }, (_, k) => forecast(panel.net, real(first + k)));
    return panel.past;
  }

  function drawRecord(shown, first) {
    const asks = Array.from({ length: days.length - first }, (_, k) => first + k);
    const right = (says) => asks.filter((day, k) => says(day, k) === happened(day)).length;
    const ups = right(() => true);
    const rule = right((day) => L > 1 && cases[country][day - 1] < cases[country][day - 2]);
    const scores = shown.map((panel) => `${panel.name}: ${right((day, k) => past(panel, first)[k] > 0.5)}`);
    find(".whose").textContent = countries[country];
    find(".record").textContent = `Right answers in ${asks.length} test days: ${scores.join("; ")}; always the more ` +
      `frequent answer: ${Math.max(ups, asks.length - ups)}; the rule “up if the last step was down”: ${rule}. A ` +
      "column is orange where there were more new cases than the day before, blue where not, grey for the day after " +
      "the data." +
      shown.map(({ name }, number) => ` ${["Circle", "Square"][number]}: ${name}.`).join("");
  }

  // -- everything anew ------------------------------------------------------------------------------------------------

  function update() {
    const shown = shownPanels();
    panels[1].root.hidden = shown.length < 2;
    drawBars();
    shown.forEach(drawPanel);
    drawHistory();
    const window = real();
    const changed = values.filter((v, t) => v !== window[t]).length;
    const truth = happened(asked);
    find(".what").textContent = changed ? `${changed} of ${L} changed; dashes: the real ones` : "as they were";
    find(".says").textContent = shown.filter(({ net }) => net)
      .map(({ name, p }) => `${name}: ${percent(p.at(-1))} for more new cases on ${dateOf(asked)} than the day before.`)
      .join(" ") +
      (changed ? "" : truth === null ? " What happened is not in the data." : ` In truth there were ${WORDS[truth]}.`);
    control("asked").textContent = dateOf(asked);
    control("day").setAttribute("aria-valuetext", dateOf(asked));
    control("earlier").disabled = asked <= Number(control("day").min);
    control("later").disabled = asked >= days.length;
  }

  function setWindow(window) {
    values = [...window];
    rescale();
    update();
  }

  function setDay(t, value) {
    values[t] = Number.isFinite(value) ? Math.max(-1e9, Math.min(1e9, Math.round(value))) : 0;
    update();
  }

  function setAsked(day) {
    asked = Math.max(Number(control("day").min), Math.min(days.length, day));
    control("day").value = asked;
    setWindow(real());
  }

  // Another country or another L.
  function restart() {
    country = Number(control("country").value);
    L = Number(control("L").value);
    selected = L - 1;
    panels.forEach((panel) => {
      if (control("weights", panel.root).value === "trained" || !panel.net) choose(panel);
      panel.past = null;
    });
    Object.assign(control("day"), { min: Math.max(firstTest, L), max: days.length });
    Object.assign(control("spike"), { max: L, value: L });
    buildBars();
    setAsked(asked);
  }

  // -- listening ------------------------------------------------------------------------------------------------------

  const mean = () => Math.max(1, Math.round(real().reduce((sum, v) => sum + Math.max(0, v), 0) / L));
  const PRESETS = {
    real: () => real(),
    equal: () => Array(L).fill(mean()),
    weekend: () => Array.from({ length: L }, (_, t) => {
      const weekday = new Date(`${dateOf(asked - L + t)}T00:00:00Z`).getUTCDay();
      return Math.round(mean() * (weekday === 0 || weekday === 6 ? 0.5 : 1));
    }),
    doubling: () => Array.from({ length: L }, (_, t) => Math.round(10 * 2 ** (t / 3))),
    spike: () => Array.from({ length: L }, (_, t) => mean() * (t + 1 === Number(control("spike").value) ? 5 : 1)),
  };
  for (const [name, window] of Object.entries(PRESETS)) {
    control(name).addEventListener(name === "spike" ? "input" : "click", () => setWindow(window()));
  }

  const bars = find(".bars");
  const yOf = (event) => event.clientY - bars.getBoundingClientRect().top; // the viewBox is as large as the svg
  bars.addEventListener("pointerdown", (event) => {
    const bar = event.target.closest("[data-day]");
    if (!bar) return;
    event.preventDefault();
    bars.setPointerCapture(event.pointerId);
    selected = Number(bar.dataset.day);
    rescale();
    setDay(selected, caseAt(yOf(event)));
    bars.querySelector("[tabindex='0']").focus({ preventScroll: true });
  });
  bars.addEventListener("pointermove", (event) => {
    if (bars.hasPointerCapture(event.pointerId)) setDay(selected, caseAt(Math.max(0, Math.min(FLOOR, yOf(event)))));
  });
  bars.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = Math.max(1, Math.round(Math.abs(values[selected]) * (event.key.startsWith("Page") ? 0.5 : 0.05)));
    const days = { ArrowLeft: selected - 1, ArrowRight: selected + 1, Home: 0, End: L - 1 }[event.key];
    const value = { ArrowUp: values[selected] + by, PageUp: values[selected] + by, ArrowDown: values[selected] - by,
      PageDown: values[selected] - by, Delete: real()[selected], Backspace: real()[selected] }[event.key];
    if (days !== undefined) selected = Math.max(0, Math.min(L - 1, days));
    else if (value !== undefined) values[selected] = value < 0 && real()[selected] >= 0 ? 0 : value;
    else if (/^[0-9]$/.test(event.key)) { // a digit begins a number
      control("cases").value = "";
      control("cases").focus();
      return;
    } else return;
    event.preventDefault();
    if (values[selected] > scale.high || values[selected] < scale.low) rescale();
    update();
  });

  control("cases").addEventListener("input", () => {
    values[selected] = Math.max(-1e9, Math.min(1e9, Math.round(Number(control("cases").value) || 0)));
    rescale();
    update();
  });
  control("back").addEventListener("click", () => {
    values[selected] = real()[selected];
    rescale();
    update();
    control("cases").value = values[selected];
  });
  control("day").addEventListener("input", () => setAsked(Number(control("day").value)));
  control("earlier").addEventListener("click", () => setAsked(asked - 1));
  control("later").addEventListener("click", () => setAsked(asked + 1));
  control("two").addEventListener("change", update);
  for (const name of ["country", "L"]) control(name).addEventListener("change", restart);
  const history = find(".history");
  history.addEventListener("click", (event) => {
    const column = event.target.closest("[data-day]");
    if (column) setAsked(Number(column.dataset.day));
  });
  history.addEventListener("keydown", (event) => {
    const ahead = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!ahead) return;
    event.preventDefault();
    setAsked(asked + ahead);
  });
  find("form").addEventListener("submit", (event) => event.preventDefault());

  control("country").append(...countries.map((name, k) => [name, k]).sort(([a], [b]) => a.localeCompare(b))
    .map(([name, k]) => new Option(name + (dropped.includes(name) ? " (not trained on)" : ""), k)));
  control("country").value = countries.indexOf(largest);
  const lengths = [...new Set(Object.keys(networks).map((name) => Number(name.split(" ")[1])))].sort((a, b) => a - b);
  control("L").append(...lengths.map((length) => new Option(length, length)));
  control("L").value = lengths.includes(7) ? 7 : lengths[0];
  find(".live").hidden = false;
  asked = days.length;
  restart();
  let width = figure.clientWidth;
  new ResizeObserver(() => {
    if (figure.clientWidth === width) return;
    width = figure.clientWidth;
    buildBars();
    update();
  }).observe(figure);
})();
