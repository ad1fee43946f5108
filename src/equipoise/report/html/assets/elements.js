// Makes elements; also the few things that all charts need.

const data = JSON.parse(document.getElementById("data").textContent);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "colour") node.style.setProperty("--colour", value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

const drawn = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const known = (value) => value !== null && value !== undefined;

const look = Object.fromEntries(data.methods.map((method) => [method.name, method]));

function shown(value, digits = 3) {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.001 || size >= 1e5) ? value.toExponential(1) : Number(value.toPrecision(digits)).toString();
  return text.replace("-", "−");
}

const percent = (value) => (known(value) ? `${value > 0 ? "+" : ""}${value.toFixed(2)} %`.replace("-", "−") : "–");

// Round numbers within a range, about as many as asked for.
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let place = Math.ceil(low / step); place * step <= high + 1e-9 * step; place += 1) found.push(Number((place * step).toPrecision(12)));
  return found;
}

// The same for a logarithmic axis: powers of ten, on a short one their multiples too, on a very short one any.
function powers(low, high) {
  const found = [];
  const wide = Math.log10(high / low) > 3;
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of wide ? [1] : [1, 2, 5]) {
      const tick = factor * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) found.push(tick);
    }
  }
  if (found.length < 2) return ticks(low, high, 5);
  const every = Math.ceil(found.length / 5);
  return found.filter((_, place) => place % every === 0);
}

// A note that follows the pointer inside of a chart.
function tooltip(host) {
  const note = element("div", { class: "tip", role: "status", hidden: true });
  host.append(note);
  return {
    show(x, y, ...lines) {
      note.replaceChildren(...lines);
      note.hidden = false;
      const room = host.clientWidth - note.offsetWidth - 4;
      note.style.left = `${Math.max(0, Math.min(room, x + 14 > room ? x - note.offsetWidth - 14 : x + 14))}px`;
      note.style.top = `${Math.max(0, Math.min(y - 12, host.clientHeight - note.offsetHeight))}px`;
    },
    hide() {
      note.hidden = true;
    },
  };
}

// Two keys go back and forth through the places of a chart that show values, as the pointer does.
function readWithKeys(root, [back, forth], { last, place, point, leave }) {
  root.addEventListener("blur", leave);
  root.addEventListener("keydown", (event) => {
    const moves = { [back]: place() - 1, [forth]: place() + 1, Home: 0, End: last };
    if (event.key in moves) {
      event.preventDefault();
      point(Math.max(0, Math.min(last, moves[event.key])));
    } else if (event.key === "Escape") leave();
  });
}

const swatch = (colour) => element("span", { class: "swatch", colour, "aria-hidden": "true" });

// Draw now, when what is shown changes, and when there is more or less room.
function keepDrawn(host, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (host.clientWidth !== width) {
      width = host.clientWidth;
      draw();
    }
  }).observe(host);
  filters.listen(draw);
}

// A choice from a list; `options` are pairs of a value and its name.
function choice(name, options, chosen, change) {
  const list = element(
    "select",
    { "aria-label": name, onchange: () => change(list.value) },
    ...options.map(([value, title]) => element("option", { value, selected: value === chosen }, title)),
  );
  return element("label", {}, element("span", {}, name), list);
}
