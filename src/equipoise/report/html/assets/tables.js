// Tables that are sorted by a column when its heading is chosen: the best first, then the other way round.

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const first = heading.dataset.better === "high" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = before === first ? other : first;
      for (const each of headings) each.setAttribute("aria-sort", each === heading ? order : "none");
      const sign = order === "ascending" ? 1 : -1;
      // Sorting is stable, so equal rows keep their order. What has no value comes last either way.
      body.append(
        ...[...body.rows].sort((one, another) => {
          const [a, b] = [one, another].map((row) => sortable(row.cells[column]));
          if (a === null || b === null) return (a === null) - (b === null);
          return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
        }),
      );
    });
  });
}

function sortable(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  return text === "–" || text === "" ? null : text;
}
