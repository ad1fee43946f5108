// Bars of every task's change against its single-task network, a group a method; below them delta_m.

(() => {
  const host = document.querySelector("#chart-changes .drawing");
  if (!host) return;
  const [BAR, LANE, GAP] = [9, 18, 16];

  function draw() {
    const rows = data.changes.filter(filters.shows);
    const tasks = filters.tasks();
    host.replaceChildren();
    if (!rows.length) {
      host.append(element("p", { class: "muted" }, "Nothing to show: no method is finished, or all are hidden."));
      return;
    }
    const width = host.clientWidth;
    const narrow = width < 640;
    const [left, right] = [narrow ? 4 : 168, 72];
    const everything = rows.flatMap((row) => [...tasks.map((task) => row.changes[task.name]), row.delta, row.low, row.high, row.published, ...row.seeds]);
    const values = everything.filter(known).concat(0);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const air = (most - least || 1) * 0.04;
    const across = (value) => left + ((value - least + air) / (most - least + 2 * air)) * (width - left - right);

    const parts = [];
    const readings = [];
    // A stripe of the chart that shows its values: at the pointer, or below it when it is reached with the keys.
    function reading(top, tall, ...lines) {
      const place = readings.length;
      const stripe = drawn("rect", {
        class: "hit", x: left, width: width - left - 2, y: top, height: tall,
        onpointermove: (event) => {
          const box = host.getBoundingClientRect();
          point(place, event.clientX - box.left, event.clientY - box.top);
        },
      });
      readings.push({ stripe, below: top + tall + 16, lines });
      return stripe;
    }
    let y = 22;
    let variant = null;
    for (const row of rows) {
      if (row.variant !== variant) {
        variant = row.variant;
        y += 12;
        parts.push(drawn("text", { class: "variant", x: 4, y: y + 10 }, variant));
        y += 20;
      }
      const named = (place) => drawn("text", { class: "name", x: narrow ? 4 : left - 12, y: place, "text-anchor": narrow ? "start" : "end" }, row.method);
      if (narrow) {
        parts.push(named(y + 10));
        y += 18;
      }
      const there = tasks.filter((task) => known(row.changes[task.name]));
      const height = there.length * (BAR + 2) + LANE;
      if (!narrow) parts.push(named(y + height / 2 + 4));
      const group = drawn("g", { class: "group", "data-method": row.method, "data-variant": row.variant });
      there.forEach((task, place) => {
        const change = row.changes[task.name];
        const [from, to] = [across(Math.min(0, change)), across(Math.max(0, change))];
        group.append(
          drawn("rect", { class: "bar", colour: task.colour, x: from, y: y + place * (BAR + 2), width: Math.max(1, to - from), height: BAR, rx: 1.5 }),
          reading(y + place * (BAR + 2) - 1, BAR + 2, element("strong", {}, row.method),
            element("span", {}, swatch(task.colour), `${task.metric} ${shown(row.values[task.name], 4)}, `, element("b", {}, percent(change)))),
        );
      });
      const lane = y + there.length * (BAR + 2) + LANE / 2;
      if (known(row.low)) group.append(drawn("line", { class: "whisker", x1: across(row.low), x2: across(row.high), y1: lane, y2: lane }));
      for (const seed of row.seeds.length > 1 ? row.seeds : []) group.append(drawn("circle", { class: "seed", cx: across(seed), cy: lane, r: 2 }));
      if (known(row.published)) group.append(drawn("circle", { class: "published", cx: across(row.published), cy: lane, r: 4.5 }));
      if (known(row.delta)) group.append(drawn("path", { class: "delta", d: `M${across(row.delta)} ${lane - 6}l6 6l-6 6l-6-6z` }));
      group.append(
        drawn("text", { class: "value", x: width - 2, y: lane + 4, "text-anchor": "end" }, percent(row.delta)),
        reading(lane - LANE / 2, LANE, element("strong", {}, row.method),
          element("span", {}, "delta_m ", element("b", {}, percent(row.delta)),
            known(row.low) ? ` [${percent(row.low)}, ${percent(row.high)}]` : "", known(row.published) ? `, published ${percent(row.published)}` : "")),
      );
      parts.push(group);
      y += height + GAP;
    }
    const root = drawn("svg", {
      viewBox: `0 0 ${width} ${y + 8}`,
      tabindex: 0,
      role: "img",
      "aria-label": `delta_m: ${rows.map((row) => `${row.variant ? `${row.variant}, ` : ""}${row.method} ${percent(row.delta)}`).join("; ")}. The table below has all numbers.`,
      onpointerleave: leave,
    });
    for (const tick of ticks(least, most, Math.max(2, Math.floor((width - left - right) / 80)))) {
      root.append(
        drawn("line", { class: tick === 0 ? "zero" : "grid", x1: across(tick), x2: across(tick), y1: 22, y2: y - GAP / 2 }),
        drawn("text", { class: "tick", x: across(tick), y: 13, "text-anchor": "middle" }, tick === 0 ? "0" : `${tick > 0 ? "+" : "−"}${Math.abs(tick)} %`),
      );
    }
    root.append(drawn("text", { class: "tick", x: width - 2, y: 13, "text-anchor": "end" }, "delta_m"), ...parts);
    host.append(root);
    const note = tooltip(host);
    let chosen = -1;

    function leave() {
      readings[chosen]?.stripe.classList.remove("chosen");
      note.hide();
    }
    function point(place, x, y) {
      leave();
      chosen = place;
      readings[chosen].stripe.classList.add("chosen");
      note.show(x, y, ...readings[chosen].lines);
    }
    readWithKeys(root, ["ArrowUp", "ArrowDown"], {
      last: readings.length - 1,
      place: () => chosen,
      point: (place) => {
        point(place, left, readings[place].below);
        readings[place].stripe.scrollIntoView({ block: "nearest" });
      },
      leave,
    });
  }
  keepDrawn(host, draw);
})();
