// A panel with lines: values are read with the pointer or the arrow keys.

const EDGE = { top: 8, right: 10, bottom: 22, left: 44 };

// `series`: [{name, colour, dashes, x, mean, low, high}]; `range`: {low, high, log}; `reference`: {value, name} or null.
function linePanel({ title, colour, series, range, reference, height, unit, width }) {
  const inner = { width: width - EDGE.left - EDGE.right, height: height - EDGE.top - EDGE.bottom };
  const steps = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
  const [first, last] = [steps[0] ?? 0, steps[steps.length - 1] ?? 1];
  const across = (x) => EDGE.left + (last === first ? 0.5 : (x - first) / (last - first)) * inner.width;
  const scaled = range.log ? Math.log10 : (value) => value;
  const [bottom, top] = [scaled(range.low), scaled(range.high)];
  const down = (y) => EDGE.top + (1 - (scaled(y) - bottom) / (top - bottom || 1)) * inner.height;
  const usable = (y) => known(y) && (!range.log || y > 0);

  const root = drawn("svg", {
    viewBox: `0 0 ${width} ${height}`,
    tabindex: 0,
    role: "img",
    "aria-label": `${title}: ${series.map((one) => `${one.name} ends at ${shown(lastOf(one.mean))}`).join(", ")}`,
  });
  for (const tick of range.log ? powers(range.low, range.high) : ticks(range.low, range.high, 4)) {
    root.append(
      drawn("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: down(tick), y2: down(tick) }),
      drawn("text", { class: "tick", x: EDGE.left - 6, y: down(tick) + 4, "text-anchor": "end" }, range.log ? powerOrNumber(tick) : shown(tick, 3)),
    );
  }
  for (const tick of ticks(first, last, Math.max(2, Math.floor(inner.width / 90)))) {
    root.append(drawn("text", { class: "tick", x: across(tick), y: height - 6, "text-anchor": "middle" }, shown(tick, 6)));
  }
  if (reference) {
    const y = down(reference.value);
    root.append(drawn("line", { class: "reference", x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }));
  }
  for (const one of series) {
    const points = one.x.map((x, place) => [x, one.mean[place], one.low[place], one.high[place]]);
    for (const run of runsOf(points, (point) => usable(point[1]))) {
      const band = run.filter((point) => usable(point[2]) && usable(point[3]));
      const outline = [...band.map((p) => [p[0], p[3]]), ...band.reverse().map((p) => [p[0], p[2]])];
      root.append(drawn("polygon", { class: "band", colour: one.colour, points: outline.map(([x, y]) => `${across(x)},${down(y)}`).join(" ") }));
      root.append(
        drawn("polyline", { class: "line", colour: one.colour, "stroke-dasharray": one.dashes || null, points: run.map(([x, y]) => `${across(x)},${down(y)}`).join(" ") }),
      );
      if (run.length === 1) root.append(drawn("circle", { class: "dot", colour: one.colour, r: 3, cx: across(run[0][0]), cy: down(run[0][1]) }));
    }
  }

  const cursor = drawn("g", { class: "cursor", visibility: "hidden" });
  root.append(cursor);
  const panel = element("div", { class: "panel" }, element("h4", {}, colour ? swatch(colour) : null, title), root);
  const note = tooltip(panel);
  let place = -1;

  function point(to) {
    place = to;
    const x = steps[place];
    const values = series
      .map((one) => ({ ...one, value: one.mean[one.x.indexOf(x)] }))
      .filter((one) => usable(one.value))
      .sort((a, b) => b.value - a.value);
    cursor.replaceChildren(
      drawn("line", { x1: across(x), x2: across(x), y1: EDGE.top, y2: height - EDGE.bottom }),
      ...values.map((one) => drawn("circle", { class: "dot", colour: one.colour, r: 3.5, cx: across(x), cy: down(one.value) })),
    );
    cursor.setAttribute("visibility", "visible");
    note.show(
      across(x) * (root.clientWidth / width || 1),
      40,
      element("strong", {}, `${unit} ${shown(x, 6)}`),
      ...values.map((one) => element("span", {}, swatch(one.colour), `${one.name} `, element("b", {}, shown(one.value, 4)))),
      reference ? element("span", { class: "muted" }, `${reference.name} ${shown(reference.value, 4)}`) : "",
    );
  }
  function leave() {
    cursor.setAttribute("visibility", "hidden");
    note.hide();
  }
  function nearest(event) {
    const box = root.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    const gaps = steps.map((step) => Math.abs(across(step) - x));
    point(gaps.indexOf(Math.min(...gaps)));
  }
  if (steps.length) {
    root.addEventListener("pointermove", nearest);
    root.addEventListener("pointerdown", nearest);
    root.addEventListener("pointerleave", leave);
    readWithKeys(root, ["ArrowLeft", "ArrowRight"], { last: steps.length - 1, place: () => place, point, leave });
  }
  return panel;
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

// 0.01, 1, 100; but 10⁻⁵.
function powerOrNumber(value) {
  const power = Math.round(Math.log10(value));
  if (Math.abs(power) < 4 || Math.abs(value / 10 ** power - 1) > 0.01) return shown(value, 2);
  return `10${power < 0 ? "⁻" : ""}${[...String(Math.abs(power))].map((digit) => RAISED[digit]).join("")}`;
}

const lastOf = (values) => values.filter(known).at(-1);

// The stretches of neighbours that satisfy a condition: a line is broken where it has no value.
function runsOf(points, condition) {
  const found = [[]];
  for (const point of points) {
    if (condition(point)) found[found.length - 1].push(point);
    else if (found[found.length - 1].length) found.push([]);
  }
  return found.filter((run) => run.length);
}

// The range of all series, with some air; `further` are values that it should contain besides.
function rangeOf(series, log, further = []) {
  const values = series.flatMap((one) => [...one.mean, ...one.low, ...one.high]).concat(further);
  const usable = values.filter((value) => known(value) && (!log || value > 0));
  if (!usable.length) return { low: log ? 0.1 : 0, high: 1, log };
  const [low, high] = [usable.reduce((a, b) => Math.min(a, b)), usable.reduce((a, b) => Math.max(a, b))];
  if (log) return { low: low / 1.15, high: high * 1.15, log };
  const air = (high - low || Math.abs(high) || 1) * 0.05;
  return { low: low - air, high: high + air, log };
}

// The width of a panel if as many as possible stand beside each other.
function panelWidth(host, count) {
  const most = Math.max(1, Math.min(count, Math.floor(host.clientWidth / 290)));
  // As many rows as it takes, and no row much shorter than the others.
  const columns = Math.ceil(count / Math.ceil(count / most)) || 1;
  host.style.setProperty("--columns", columns);
  return Math.floor((host.clientWidth - 16 * (columns - 1)) / columns);
}
