/* Finding symbols, sorting tables. The page is whole without it. */
"use strict";
(() => {
  const find = document.getElementById("find");
  const input = document.getElementById("filter");
  const found = document.getElementById("found");
  const nothing = document.getElementById("nothing");
  const named = Array.from(document.querySelectorAll("[data-name]"));
  const articles = named.filter((element) => element.tagName === "ARTICLE");
  if (articles.length === 0) return;
  find.hidden = false;

  const matches = (name, wanted) => wanted === "" || wanted.split(/[\s,]+/).some((part) => part !== "" && name.includes(part));

  const filter = () => {
    const wanted = input.value.trim().toLowerCase();
    for (const element of named) element.hidden = !matches(element.dataset.name, wanted);
    const shown = articles.reduce((sum, article) => sum + (article.hidden ? 0 : 1), 0);
    found.textContent = wanted === "" ? "" : `${shown} of ${articles.length}`;
    nothing.hidden = shown !== 0;
  };

  input.addEventListener("input", filter);
  find.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = input.value.trim().toLowerCase();
    const exact = articles.find((article) => article.dataset.name.split(".")[0] === wanted);
    const first = exact || articles.find((article) => !article.hidden);
    if (first) location.hash = first.id;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
    } else if (event.key === "Escape" && input.value !== "") {
      input.value = "";
      filter();
    }
  });
  /* A link to a symbol that the filter hides shows it. */
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.hidden) {
      input.value = "";
      filter();
      target.scrollIntoView();
    }
  });

  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.v;
    if (value === undefined) return cell.textContent.trim();
    return value === "None" || value === "nan" ? null : Number(value);
  };
  /* What there is no figure for comes last, whichever way is sorted. */
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en"));
  };
  const sort = (table, heading) => {
    const column = heading.cellIndex;
    const numeric = heading.classList.contains("r");
    const before = heading.getAttribute("aria-sort");
    const rising = before ? before === "descending" : !numeric;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [key(row, column), row]);
    rows.sort((a, b) => compare(a[0], b[0], rising ? 1 : -1));
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const heading of table.tHead.rows[0].cells) {
      if (heading.classList.contains("nosort")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => sort(table, heading));
    }
  }
})();
