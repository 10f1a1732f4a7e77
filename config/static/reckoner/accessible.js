"use strict";

/* What the theme leaves to the pointer and to the eye, given to the keyboard and to screen readers too. */

/* A thing that only answers to clicks becomes a button: it can be reached with Tab and pressed with Enter or Space. */
function pressableByKey(root) {
  for (const part of root.querySelectorAll("[x-on\\:click]")) {
    if (part.matches("button, input, select, textarea, summary, a[href], [tabindex]")) continue;
    part.tabIndex = 0;
    part.setAttribute("role", "button");
    part.addEventListener("keydown", (event) => {
      if (event.target !== part || (event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      part.click();
    });
  }
}

/* An icon is a word of its font ("arrow_back"), which nobody should hear; what it stands in has a title or text. */
function quietIcons(root) {
  for (const icon of root.querySelectorAll(".material-symbols-outlined")) {
    const button = icon.matches("[role=button]") ? icon : null;
    if (!button) icon.setAttribute("aria-hidden", "true");
    else if (!button.ariaLabel) button.ariaLabel = button.title || button.textContent.trim().replaceAll("_", " ");
  }
}

function landmarks() {
  const content = document.getElementById("content");
  if (content) {
    content.setAttribute("role", "main");
    content.tabIndex = -1;
  }
  document.getElementById("nav-sidebar-inner")?.setAttribute("aria-label", "Menu");
}

/* Two scrolling areas of one page need two names. */
function namedScrollers() {
  for (const area of document.querySelectorAll(".simplebar-content-wrapper[role=region]")) {
    area.setAttribute("aria-label", area.closest("#nav-sidebar-inner") ? "Menu entries" : "Scrolling content");
  }
}

/* A list with a search in it is drawn anew by its library, which forgets what the field is called. */
function namedSearchLists() {
  for (const drawn of document.querySelectorAll(".select2-container")) {
    const label = drawn.previousElementSibling?.labels?.[0]?.textContent.trim();
    if (!label) continue;
    for (const part of drawn.querySelectorAll("[role=combobox], [role=textbox]")) {
      part.removeAttribute("aria-labelledby");
      part.setAttribute("aria-label", label.replace(/\s*\*$/, ""));
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  landmarks();
  pressableByKey(document);
  quietIcons(document);
});
window.addEventListener("load", () => {
  namedScrollers();
  namedSearchLists();
});
