// Paper is white, and nothing unfolds on it: answers print open, and all is put back afterwards.
const root = document.documentElement;
let opened = [], theme;
addEventListener("beforeprint", () => {
  theme = root.dataset.theme;
  root.dataset.theme = "light";
  opened = [...document.querySelectorAll("details:not(.hide):not([open])")];
  opened.forEach((details) => { details.open = true; });
});
addEventListener("afterprint", () => {
  root.dataset.theme = theme;
  opened.forEach((details) => { details.open = false; });
});

// What is too wide for the page scrolls; with a place in the tab order it does so by keyboard too.
const reachable = () => {
  for (const box of document.querySelectorAll('mjx-container[display="true"], .cell_output figure > div, .pst-scrollable-table-container')) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reachable));
addEventListener("resize", reachable);

// Names that the theme leaves out, for screen readers; and a corner of a table that names nothing is no heading.
addEventListener("DOMContentLoaded", () => {
  for (const corner of document.querySelectorAll(".bd-article th")) {
    if (corner.textContent.trim() === "") corner.replaceWith(document.createElement("td"));
  }
  for (const summary of document.querySelectorAll(".has-children > details > summary")) {
    const link = summary.closest(".has-children").querySelector("a");
    summary.setAttribute("aria-label", `Pages of ${link.textContent.trim()}`);
  }
  const sidebar = document.querySelector("#pst-primary-sidebar");
  sidebar?.setAttribute("role", "region");
  sidebar?.setAttribute("aria-label", "The course");
});
