"use strict";
// Rows of pictures: a tap, or the Enter key, shows a row three times as large, and once more makes it small again.
for (const row of document.querySelectorAll(".strips img")) {
  row.tabIndex = 0;
  row.setAttribute("role", "button");
  const toggle = () => row.setAttribute("aria-pressed", row.classList.toggle("large"));
  row.setAttribute("aria-pressed", "false");
  row.addEventListener("click", toggle);
  row.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    toggle();
  });
}
