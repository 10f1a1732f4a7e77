"use strict";

/* A code is suggested from the label while it is typed, until somebody writes a code. */
function suggestCodes() {
  for (const code of document.querySelectorAll("input[data-code-from]")) {
    const label = document.getElementById(code.dataset.codeFrom);
    if (!label || code.value) continue;
    let own = false;
    code.addEventListener("input", () => { own = code.value !== ""; });
    label.addEventListener("input", () => {
      if (own) return;
      code.value = label.value.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase()
        .replace(/[^a-z0-9_\s-]/g, "").trim().replace(/[-\s]+/g, "_").replace(/^_+|_+$/g, "");
    });
  }
}

const SENTENCE = 45;

/* On phones each cell shows the name of its column beside it; a sentence stands below it, and nothing is left out. */
function labelCells() {
  for (const table of document.querySelectorAll(".rk-table:not(.rk-keep)")) {
    const names = [...table.querySelectorAll("thead th")].map((cell) =>
      cell.querySelector(".rk-unseen") ? "" : cell.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, place) => {
        cell.dataset.label = names[place] || "";
        const text = cell.textContent.replace(/\s+/g, " ").trim();
        cell.classList.toggle("rk-blank", !text && !cell.querySelector("input, button, select, svg, img"));
        cell.classList.toggle("rk-said", text.length > SENTENCE && !cell.querySelector("select, svg, details"));
      });
    }
  }
}

/* Lists name their columns on phones as on desks: "Owner". */
function capitalLabels() {
  for (const cell of document.querySelectorAll("#result_list [data-label]")) {
    const name = cell.dataset.label;
    cell.dataset.label = name.charAt(0).toUpperCase() + name.slice(1);
  }
}

/* A button copies the text of the block it stands in. */
function copyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent;
      const said = button.textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        const range = document.createRange();
        range.selectNodeContents(document.getElementById(button.dataset.copy));
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        button.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { button.textContent = said; }, 2500);
    });
  }
}

/* Parts of a form that belong to one choice are shown with it: data-shown-for="field: value value". */
function conditionalParts() {
  const update = () => {
    for (const part of document.querySelectorAll("[data-shown-for]")) {
      const [name, values] = part.dataset.shownFor.split(":");
      const field = document.querySelector(`[name="${name.trim()}"]:checked, select[name="${name.trim()}"], input[type="hidden"][name="${name.trim()}"]`);
      part.hidden = !field || !values.trim().split(" ").includes(field.value);
    }
  };
  document.addEventListener("change", update);
  update();
  document.documentElement.classList.add("rk-followed");
}

/* A field that only one choice needs is shown with its whole row: data-row-for="field: value". */
function conditionalRows() {
  for (const field of document.querySelectorAll("[data-row-for]")) {
    const row = field.closest(".form-row") || field.closest(".rk-field");
    if (row) row.dataset.shownFor = field.dataset.rowFor;
  }
}

/* Choosing in a list with data-submit opens what was chosen. */
function autoSubmit() {
  for (const field of document.querySelectorAll("[data-submit]")) {
    field.addEventListener("change", () => field.form.requestSubmit());
  }
}

/* A form is not sent twice; one with data-busy="words", which takes long, says so on its buttons. */
function busyForms() {
  addEventListener("submit", (event) => {
    const form = event.target;
    // By attribute: a field named "method" stands before the property.
    if (form.getAttribute("method") !== "post" || form.hasAttribute("target")) return;
    const buttons = [...form.elements].filter((each) => each.type === "submit" && !each.disabled);
    const said = buttons.map((each) => each.textContent);
    // After the browser has read the form: a disabled button would not be among what is sent.
    setTimeout(() => {
      if (event.defaultPrevented) return;
      for (const each of buttons) {
        each.disabled = true;
        if (form.dataset.busy) each.textContent = form.dataset.busy;
      }
      // Whoever goes back finds the page as it was left: the buttons can be pressed again.
      addEventListener("pageshow", () => buttons.forEach((each, place) => {
        each.disabled = false;
        if (form.dataset.busy) each.textContent = said[place];
      }), { once: true });
    });
  });
}

/* A part with data-live="seconds" is fetched again until the server stops marking it; the title comes along. With
   data-live-from="address" it is the part of that page: what takes long to work out comes after the page. */
function liveParts() {
  for (const part of document.querySelectorAll("[data-live]")) {
    const refresh = async () => {
      let fresh = null;
      try {
        const answer = await fetch(part.dataset.liveFrom || location.href, { headers: { Accept: "text/html" } });
        if (answer.ok) fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      } catch { /* The network is away for a moment: the next try follows. */ }
      for (const id of fresh ? [part.id, "close-title"] : []) {
        const here = document.getElementById(id);
        const there = fresh.getElementById(id);
        if (here && there) here.replaceChildren(...there.childNodes);
      }
      if (fresh) labelCells();
      if (fresh && !fresh.getElementById(part.id)?.dataset.live) delete part.dataset.live;
      else setTimeout(refresh, Number(part.dataset.live) * 1000);
    };
    setTimeout(refresh, part.dataset.liveFrom ? 0 : Number(part.dataset.live) * 1000);
  }
}

/* One box at the head of a table checks all below. */
function selectAll() {
  for (const all of document.querySelectorAll("[data-select-all]")) {
    all.addEventListener("change", () => {
      for (const box of all.form.querySelectorAll(`[name="${all.dataset.selectAll}"]`)) box.checked = all.checked;
    });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  selectAll();
  suggestCodes();
  labelCells();
  capitalLabels();
  copyButtons();
  conditionalRows();
  conditionalParts();
  autoSubmit();
  busyForms();
  liveParts();
});
