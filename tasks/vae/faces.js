"use strict";
// The latent explorer: the same code, decoded by every model of the page; sliders, test faces, samples and a walk.
(async () => {
  const find = (selector, within = document) => within.querySelector(selector);
  const control = (name) => find(`[name="${name}"]`);
  const { size, channels, dead, models, faces } = JSON.parse(find("#content").textContent);
  const nets = await Promise.all([...document.querySelectorAll(".weights")]
    .map((script, m) => decoder.load(script.textContent, models[m])));
  const pixels = faces.map((face) => Uint8Array.from(atob(face), (character) => character.charCodeAt(0)));
  const rows = Math.max(...models.map((model) => model.rows));
  const signed = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

  // The code of each model: z[m] holds a row of latents, in the order of their KL, or a row for each channel.
  const z = models.map(({ rows, latent }) => Array.from({ length: rows }, () => new Float32Array(latent)));
  const p = models.map(({ width }) => new Float32Array(width));
  let reference = Math.max(0, models.findIndex(({ name }) => name === "weight 1")); // whose code the sliders show
  let sliders = [];

  // -- drawing --------------------------------------------------------------------------------------------------------

  // Draw an image (size, size, C) whose numbers from 0 to 1 `at` gives: for a pixel and a channel.
  function paint(canvas, at) {
    canvas.width = canvas.height = size;
    const image = new ImageData(size, size);
    for (let k = 0; k < size * size; k += 1) {
      for (let c = 0; c < 3; c += 1) image.data[4 * k + c] = Math.round(255 * at(k, channels === 1 ? 0 : c));
      image.data[4 * k + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function drawModel(m) {
    const canvas = find(`.models [data-model="${m}"] canvas`);
    const code = z[m];
    if (code.length === 1) {
      decoder.decode(nets[m], code[0], p[m]);
      paint(canvas, (k, c) => p[m][k * channels + c]);
    } else { // a row of the model for each channel
      const decoded = code.map((row) => Float32Array.from(decoder.decode(nets[m], row, p[m])));
      paint(canvas, (k, c) => decoded[c][k]);
    }
  }

  function draw() {
    models.forEach((_, m) => drawModel(m));
    const shown = z[reference][shownRow()];
    for (const [k, slider] of sliders.entries()) {
      slider.input.value = shown[k];
      slider.output.textContent = signed(shown[k]);
    }
  }

  // Above the decoded images: the face, or a mixture of the pixels of two; nothing without a face.
  function original(from, to = from, share = 0) {
    const cell = find(".original");
    cell.hidden = from === null;
    if (from === null) return;
    paint(find("canvas", cell), (k, c) => {
      const d = k * channels + c;
      return ((1 - share) * pixels[from][d] + share * pixels[to][d]) / 255;
    });
    find("b", cell).textContent = share ? "pixels mixed" : `test face ${from + 1}`;
    find("span", cell).textContent = share ? `${Math.round(100 * share)} % of face ${to + 1}` : "as it is";
  }

  const say = (sentence) => { find("[role=status]").textContent = sentence; };

  // -- the code -------------------------------------------------------------------------------------------------------

  // Rows of a code that the sliders move: all, or one channel of the models that have a row for each.
  const channel = () => (rows > 1 ? Number(control("channel").value) : -1);
  const shownRow = () => (channel() > 0 && models[reference].rows > 1 ? channel() : 0);

  function setLatent(k, value) {
    z.forEach((code) => code.forEach((row, c) => {
      if (k < row.length && (channel() < 0 || (code.length > 1 && c === channel()))) row[k] = value;
    }));
    draw();
    say(`Latent ${k + 1} is ${signed(value)}.`);
  }

  // Give every model a code: `of(m, c, k)` is latent k of row c of model m.
  function setCodes(of) {
    z.forEach((code, m) => code.forEach((row, c) => row.forEach((_, k) => { row[k] = of(m, c, k); })));
    draw();
  }

  function normal() { // Box & Muller 1958
    return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  }

  function noise() { // the same for every model; those with one row use the first
    const most = Math.max(...models.map(({ latent }) => latent));
    const drawn = Array.from({ length: rows }, () => Array.from({ length: most }, normal));
    return (c, k) => drawn[c][k];
  }

  const face = () => Number(control("from").value);

  function showMean() {
    control("walk").value = 0;
    original(face());
    setCodes((m, c, k) => models[m].mean[face()][c][k]);
    say(`Test face ${face() + 1}: the mean of its posterior, decoded.`);
  }

  function showNoise() {
    control("walk").value = 0;
    original(face());
    const epsilon = noise();
    setCodes((m, c, k) => {
      const [mean, log_var] = [models[m].mean[face()][c][k], models[m].log_var[face()][c][k]];
      return mean + Math.exp(log_var / 2) * epsilon(c, k); // the reparameterization trick
    });
    say(`Test face ${face() + 1}: mean + standard deviation × noise, decoded.`);
  }

  function samplePrior() {
    original(null);
    const epsilon = noise();
    setCodes((m, c, k) => epsilon(c, k));
    say("A sample of the prior, decoded by every model.");
  }

  function walk() {
    const [to, share] = [Number(control("to").value), control("walk").value / 100];
    original(face(), to, share);
    setCodes((m, c, k) => (1 - share) * models[m].mean[face()][c][k] + share * models[m].mean[to][c][k]);
    say(`${control("walk").value} % of the way from face ${face() + 1} to face ${to + 1}.`);
  }

  function reset() {
    original(null);
    control("walk").value = 0;
    setCodes(() => 0);
    say("All latents are 0.");
  }

  // -- the page -------------------------------------------------------------------------------------------------------

  function make(tag, content = "", attributes = {}) {
    const made = document.createElement(tag);
    made.append(content);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  const isDead = (model, k) => model.kl[k] < dead;

  function makeModels() {
    models.forEach((model, m) => {
      const cell = make("figure", "", { "data-model": m });
      const alive = model.kl.filter((_, k) => !isDead(model, k)).length;
      const total = model.rows * model.kl.reduce((sum, kl) => sum + kl, 0);
      const caption = make("figcaption", make("b", model.name));
      caption.append(make("span", `${alive} of ${model.latent} in use, KL ${total.toFixed(1)}`));
      cell.append(make("canvas", "", { role: "img", "aria-label": `decoded with ${model.name}` }), caption);
      find(".models").append(cell);
      control("reference").append(new Option(model.name, m));
    });
    control("reference").value = reference;
  }

  // The sliders in the order of the KL of the chosen model; those that are dead in it are folded away.
  function makeSliders() {
    const model = models[reference];
    const most = Math.max(3, Math.ceil(Math.max(...model.mean.flat(2).map(Math.abs))));
    find(".alive").replaceChildren();
    find(".dead").replaceChildren();
    sliders = model.kl.map((kl, k) => {
      const label = make("label", "", { title: `z${model.order[k]} of ${model.name}` });
      const input = make("input", "", { type: "range", min: -most, max: most, step: 0.05, autocomplete: "off",
        "aria-label": `latent ${k + 1}, KL ${kl.toFixed(2)} nats${isDead(model, k) ? ", dead" : ""}` });
      const output = make("output");
      label.append(make("span", `${k + 1}`), input, output,
        make("small", isDead(model, k) ? "dead" : `KL ${kl.toFixed(2)}`));
      input.addEventListener("input", () => setLatent(k, Number(input.value)));
      find(isDead(model, k) ? ".dead" : ".alive").append(label);
      return { input, output };
    });
    const count = find(".dead").childElementCount;
    find("details").hidden = count === 0;
    find("summary").textContent = `${count} of ${model.latent} latents are dead with ${model.name}`;
    find(".none").hidden = count < model.latent;
  }

  function makeFaces() {
    pixels.forEach((face, n) => {
      const button = make("button", "", { type: "button", "aria-label": `test face ${n + 1}: decode its mean` });
      const canvas = make("canvas");
      button.append(canvas, make("span", `${n + 1}`));
      paint(canvas, (k, c) => face[k * channels + c] / 255);
      button.addEventListener("click", () => {
        control("from").value = n;
        showMean();
      });
      find(".faces").append(button);
      for (const name of ["from", "to"]) control(name).append(new Option(n + 1, n));
    });
    control("to").value = Math.min(1, pixels.length - 1);
  }

  makeModels();
  makeSliders();
  makeFaces();
  for (const [name, kind, done] of [["prior", "click", samplePrior], ["reset", "click", reset],
    ["mean", "click", showMean], ["noise", "click", showNoise], ["walk", "input", walk], ["from", "change", showMean],
    ["to", "change", walk]]) {
    control(name).addEventListener(kind, done);
  }
  control("reference").addEventListener("change", () => {
    reference = Number(control("reference").value);
    makeSliders();
    draw();
  });
  if (rows > 1) control("channel").addEventListener("change", draw);
  reset();
  find("main").setAttribute("aria-busy", "false");
})();
