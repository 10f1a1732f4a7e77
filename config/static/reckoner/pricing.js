"use strict";

/* The price editor: tables that grow, fields that follow a choice, and a preview that the server works out. */
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("rate_form") || document.getElementById("price_form");
  if (!form) return;
  document.documentElement.classList.add("rk-scripted");
  const chosen = () => [...form.querySelectorAll("[name=dimension]:checked")].map((box) => box.value);
  const changed = () => document.dispatchEvent(new Event("change"));

  /* Columns and parts that belong to prices by dimensions are there while a dimension is chosen. */
  function followDimensions() {
    const names = chosen();
    for (const part of form.querySelectorAll("[data-when-rows]")) part.hidden = !names.length;
    for (const part of form.querySelectorAll("[data-when-flat]")) {
      if (!part.dataset.shownFor || names.length) part.hidden = names.length > 0;
    }
    for (const cell of form.querySelectorAll("[data-dimension]")) cell.hidden = !names.includes(cell.dataset.dimension);
    const limits = form.querySelector("[name=row_limits]");
    for (const cell of form.querySelectorAll("[data-row-limit]")) if (!limits || !limits.checked) cell.hidden = true;
    const rest = form.querySelector("[name=unmatched]");
    for (const row of form.querySelectorAll("[data-rest]")) row.hidden = Boolean(rest && rest.value);
  }

  /* A tier begins where the one before ends; the last one stays open. */
  function fillFrom() {
    for (const table of form.querySelectorAll("[data-tiers]")) {
      let from = "0";
      const rows = table.tBodies[0].rows;
      for (const row of rows) {
        row.querySelector("[data-from]").textContent = from === "0" ? "0" : `over ${from}`;
        from = row.querySelector("[data-up-to]").value.trim() || "?";
        row.querySelector("[data-remove]").disabled = rows.length === 1;
      }
    }
  }

  function addTier(table) {
    table.tBodies[0].append(table.querySelector("template").content.cloneNode(true));
    changed();
    table.tBodies[0].lastElementChild.querySelector("input").focus();
  }

  function addRow(table, { focus = true } = {}) {
    const keys = [...table.querySelectorAll("[name=row]")].map((field) => Number(field.value) || 0);
    const text = table.querySelector(":scope > template").innerHTML.replaceAll("__key__", Math.max(0, ...keys) + 1);
    const body = document.createElement("tbody");
    body.innerHTML = text;
    const row = body.firstElementChild;
    const rest = table.querySelector(":scope > tbody > [data-rest]");
    table.tBodies[0].insertBefore(row, rest);
    changed();
    if (focus) row.querySelector("td:not([hidden]) input:not([type=hidden])").focus();
    return row;
  }

  /* After a removal the keyboard stays in the table. */
  function remove(row, button) {
    const body = row.parentElement;
    const place = [...body.children].indexOf(row);
    row.remove();
    changed();
    const next = body.children[Math.min(place, body.children.length - 1)];
    const target = next && (next.querySelector(`[${button}]:not(:disabled)`) || next.querySelector("input:not([type=hidden])"));
    if (target) target.focus();
  }

  const cellsOf = (row) => [...row.querySelectorAll("input:not([type=hidden])")].filter((field) => field.offsetParent && !(row.dataset.row !== undefined && field.closest("[data-tiers]")));

  form.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const data = button.dataset;
    if ("addTier" in data) addTier(button.closest(".rk-buttons").previousElementSibling.querySelector("[data-tiers]"));
    if ("addRow" in data) addRow(form.querySelector("[data-rows]"));
    if ("remove" in data && button.closest("tbody").rows.length > 1) remove(button.closest("tr"), "data-remove");
    if ("removeRow" in data) remove(button.closest("[data-row]"), "data-remove-row");
  });

  /* Enter goes to the same cell of the next row, and makes one after the last: as in a spreadsheet. */
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
    const tier = event.target.closest("[data-tiers] tbody tr");
    const row = tier || event.target.closest("[data-rows] > tbody > tr");
    if (!row) return;
    event.preventDefault();
    const place = cellsOf(row).indexOf(event.target);
    const next = row.nextElementSibling;
    if (next && !next.hidden) cellsOf(next)[place]?.focus();
    else if (tier) addTier(row.closest("[data-tiers]"));
    else addRow(row.closest("[data-rows]"));
  });

  /* Cells copied from a spreadsheet fill the rows from the one they are pasted into. */
  form.addEventListener("paste", (event) => {
    const table = event.target.closest("[data-rows]");
    const text = event.clipboardData.getData("text/plain").replace(/\s+$/, "");
    if (!table || !/[\t\n]/.test(text) || event.target.closest("[data-tiers]")) return;
    event.preventDefault();
    let row = event.target.closest("[data-row]");
    const first = cellsOf(row).indexOf(event.target);
    for (const line of text.split(/\r?\n/)) {
      if (!row || row.dataset.rest !== undefined) row = addRow(table, { focus: false });
      const cells = cellsOf(row);
      line.split("\t").forEach((value, place) => { if (cells[first + place]) cells[first + place].value = value.trim(); });
      row = row.nextElementSibling;
    }
    changed();
  });

  /* Another meter has other dimensions: the server writes the parts that depend on it. What is typed meanwhile stays. */
  async function refresh() {
    const data = new FormData(form);
    data.set("_refresh", "1");
    const answer = await fetch(location.href, { method: "POST", body: data });
    if (!answer.ok) throw new Error(`The form answered ${answer.status}.`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of form.querySelectorAll("[data-from-meter]")) {
      const fresh = page.querySelector(`[data-from-meter="${part.dataset.fromMeter}"]`);
      part.replaceChildren(...document.importNode(fresh, true).childNodes);
    }
    changed();
    load();
  }

  /* What takes a while to work out comes after the page, and again with another meter. */
  async function load() {
    for (const part of form.querySelectorAll("[data-load]")) {
      const answer = await fetch(part.dataset.load);
      if (!answer.ok) throw new Error(`A part of the page answered ${answer.status}.`);
      part.innerHTML = await answer.text();
    }
  }

  let asked = null;
  let chosenQuantity = false; // until somebody moves the slider, it stands in the middle of what is worth looking at
  let waiting = 0;
  const box = () => document.getElementById("preview");

  async function show() {
    asked?.abort();
    asked = new AbortController();
    box().setAttribute("aria-busy", "true");
    try {
      const data = new FormData(form);
      if (!chosenQuantity) data.delete("preview_quantity");
      const { preview: address } = form.dataset;
      const answer = form.method === "get"
        ? await fetch(`${address}&${new URLSearchParams(data)}`, { signal: asked.signal })
        : await fetch(address, { method: "POST", body: data, signal: asked.signal });
      if (!answer.ok) throw new Error(`The preview answered ${answer.status}.`);
      replace(await answer.text());
    } catch (error) {
      if (error.name === "AbortError") return;
      box().textContent = "The preview cannot be shown now. Saving still works.";
    }
    box().removeAttribute("aria-busy");
  }

  /* What somebody holds, a slider or a field, stays in hand while the rest is replaced. */
  function replace(html) {
    const held = box().contains(document.activeElement) ? document.activeElement : null;
    const opened = [...box().querySelectorAll("details[open] > summary")].map((each) => each.textContent);
    const fresh = document.createElement("div");
    fresh.innerHTML = html;
    for (const part of fresh.querySelectorAll("details")) part.open = opened.includes(part.querySelector("summary").textContent);
    const twin = held && held.id && fresh.querySelector(`#${held.id}`);
    if (!twin) return box().replaceChildren(...fresh.childNodes);
    if (held.type === "range") for (const name of ["max", "step"]) held.setAttribute(name, twin.getAttribute(name));
    swap(box(), fresh, held, twin);
  }

  /* Replace the children of one element by another's, going down to the one that is held. */
  function swap(old, fresh, held, twin) {
    const keep = [...old.children].find((each) => each.contains(held));
    const match = [...fresh.children].find((each) => each.contains(twin));
    if (keep !== held) swap(keep, match, held, twin);
    for (const node of [...old.childNodes]) if (node !== keep) node.remove();
    const nodes = [...fresh.childNodes];
    const place = nodes.indexOf(match);
    keep.before(...nodes.slice(0, place));
    keep.after(...nodes.slice(place + 1));
  }

  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(show, 120);
  }

  form.addEventListener("input", (event) => {
    const field = event.target;
    if (field.dataset.slider || field.name === "preview_quantity") chosenQuantity = true;
    if (field.dataset.slider) document.getElementById(field.dataset.slider).value = field.value;
    if (field.name === "preview_quantity") document.getElementById("preview_slider").value = field.value;
    fillFrom();
    later();
  });
  document.addEventListener("change", (event) => {
    if (event.target instanceof Element && "refresh" in event.target.dataset) {
      refresh();
      return;
    }
    if (["model", "rate", "preview_group"].includes(event.target.name)) chosenQuantity = false;
    followDimensions();
    fillFrom();
    later();
  });
  followDimensions();
  fillFrom();
  load();
  /* Chosen before this script ran, or kept by the browser on the way back: not what the server wrote the page for. */
  for (const select of form.querySelectorAll("select[data-refresh]")) {
    const written = [...select.options].find((option) => option.defaultSelected) || select.options[0];
    if (select.value !== written.value) refresh();
  }
  if (!box().querySelector("#preview_amount, #sentence")) later();
});
