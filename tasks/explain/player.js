// A player: one step of its list is shown, and the picture says how far the pass has come.
"use strict";
for (const player of document.querySelectorAll(".player")) {
  const steps = [...player.querySelectorAll(".step")];
  const picture = player.querySelector(".picture");
  const slider = player.querySelector("input");
  const output = player.querySelector("output");
  const box = number => picture.querySelector(`[data-box="${number}"]`);
  const edges = step => step.dataset.edges.trim().split(/\s+/).filter(Boolean).map(pair => pair.split("-"));

  function show(number) {
    number = Math.max(0, Math.min(steps.length - 1, number));
    for (const drawn of picture.querySelectorAll("[data-box], [data-from]"))
      drawn.classList.remove("seen", "gradient", "freed", "now");
    for (const drawn of picture.querySelectorAll(".input, .constant")) drawn.classList.add("seen");
    steps.slice(0, number + 1).forEach((step, i) => {
      const here = box(step.dataset.box);
      if (step.dataset.kind === "forward") here.classList.add("seen");
      if (step.dataset.kind === "backward") {
        here.classList.add("gradient");
        for (const [from] of edges(step)) box(from).classList.add("gradient");
        if (step.dataset.freed === "1" && i < number) here.classList.add("freed");
      }
    });
    const step = steps[number], here = box(step.dataset.box);
    if (here) {
      here.classList.add("now");
      const at = here.getBoundingClientRect(), frame = picture.getBoundingClientRect();
      picture.scrollTop += at.top - frame.top - (frame.height - at.height) / 2;
      picture.scrollLeft += at.left - frame.left - (frame.width - at.width) / 2;
    }
    for (const [from, to] of edges(step))
      for (const edge of picture.querySelectorAll(`[data-from="${from}"][data-to="${to}"]`)) edge.classList.add("now");
    steps.forEach((each, i) => { each.hidden = i !== number; });
    slider.value = number;
    slider.setAttribute("aria-valuetext", `step ${number + 1} of ${steps.length}`);
    output.textContent = `${number + 1} of ${steps.length}`;
  }

  const places = { first: () => 0, back: now => now - 1, on: now => now + 1, last: () => steps.length - 1 };
  const keys = { Home: "first", ArrowLeft: "back", ArrowRight: "on", End: "last" };
  const go = place => show(places[place](Number(slider.value)));
  for (const button of player.querySelectorAll("button")) button.addEventListener("click", () => go(button.dataset.go));
  slider.addEventListener("input", () => show(Number(slider.value)));
  player.addEventListener("keydown", event => {
    if (event.target === slider || event.altKey || event.ctrlKey || event.metaKey || !(event.key in keys)) return;
    event.preventDefault();
    go(keys[event.key]);
  });
  player.querySelector(".controls").hidden = false;
  picture.classList.add("played");
  show(0);
}
