/* Extras: sorting, filtering, tips. Every page says all it has to say without them. */
"use strict";
(() => {
  const value = (row, column) => {
    const cell = row.cells[column];
    if (!cell) return "";
    return cell.hasAttribute("data-v") ? cell.dataset.v : cell.textContent.trim();
  };
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    return a.localeCompare(b, "en", { numeric: true });
  };
  const sort = (table, column, down) => {
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // nothing known: always last
      return down ? compare(b, a) : compare(a, b);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, down);
      });
    });
  }

  for (const field of document.querySelectorAll("[data-filter]")) {
    const rows = [...document.getElementById(field.dataset.filter).tBodies[0].rows];
    const only = document.querySelector("[data-only]");
    const shown = document.getElementById("shown");
    const narrow = () => {
      const wanted = field.value.trim().toLowerCase().split(/\s+/);
      let count = 0;
      for (const row of rows) {
        const text = `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase();
        const fits = wanted.every((word) => text.includes(word));
        row.hidden = !fits || (only.checked && !row.classList.contains("calls"));
        count += !row.hidden;
      }
      shown.textContent = count === rows.length ? "" : `${count} of ${rows.length}`;
    };
    field.addEventListener("input", narrow);
    only.addEventListener("change", narrow);
    field.closest(".tools").hidden = false;
    narrow();
  }

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("aria-hidden", "true"); // what it shows is each element's own name already
  tip.hidden = true;
  document.body.append(tip);
  const show = (event) => {
    const from = event.target.closest?.("[data-tip]");
    tip.hidden = !from;
    if (!from) return;
    tip.textContent = from.dataset.tip;
    const place = from.getBoundingClientRect();
    const across = Math.min(place.left, window.innerWidth - tip.offsetWidth - 8);
    const above = place.top - tip.offsetHeight - 6;
    tip.style.left = `${Math.max(8, across)}px`;
    tip.style.top = `${above > 0 ? above : place.bottom + 6}px`;
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("focusout", () => { tip.hidden = true; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
  document.addEventListener("scroll", () => { tip.hidden = true; }, true);

  // A link to a log opens it.
  const open = () => {
    const at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (at) at.closest("details")?.setAttribute("open", "");
  };
  window.addEventListener("hashchange", open);
  open();
})();
