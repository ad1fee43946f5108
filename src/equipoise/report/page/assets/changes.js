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
          drawn("rect", { class: "hit", x: left, width: width - left - right, y: y + place * (BAR + 2) - 1, height: BAR + 2,
            onpointermove: (event) => tell(event, row.method, swatch(task.colour), `${task.metric} ${shown(row.values[task.name], 4)}, `, element("b", {}, percent(change))),
          }),
        );
      });
      const lane = y + there.length * (BAR + 2) + LANE / 2;
      if (known(row.low)) group.append(drawn("line", { class: "whisker", x1: across(row.low), x2: across(row.high), y1: lane, y2: lane }));
      for (const seed of row.seeds.length > 1 ? row.seeds : []) group.append(drawn("circle", { class: "seed", cx: across(seed), cy: lane, r: 2 }));
      if (known(row.published)) group.append(drawn("circle", { class: "published", cx: across(row.published), cy: lane, r: 4.5 }));
      if (known(row.delta)) group.append(drawn("path", { class: "delta", d: `M${across(row.delta)} ${lane - 6}l6 6l-6 6l-6-6z` }));
      group.append(
        drawn("text", { class: "value", x: width - 2, y: lane + 4, "text-anchor": "end" }, percent(row.delta)),
        drawn("rect", { class: "hit", x: left, width: width - left, y: lane - LANE / 2, height: LANE,
          onpointermove: (event) => tell(event, row.method, `delta_m `, element("b", {}, percent(row.delta)),
            known(row.low) ? ` [${percent(row.low)}, ${percent(row.high)}]` : "", known(row.published) ? `, published ${percent(row.published)}` : ""),
        }),
      );
      parts.push(group);
      y += height + GAP;
    }
    const root = drawn("svg", {
      viewBox: `0 0 ${width} ${y + 8}`,
      role: "img",
      "aria-label": `delta_m: ${rows.map((row) => `${row.variant ? `${row.variant}, ` : ""}${row.method} ${percent(row.delta)}`).join("; ")}. The table below has all numbers.`,
      onpointerleave: () => note.hide(),
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

    function tell(event, ...content) {
      const [title, ...rest] = content;
      const box = host.getBoundingClientRect();
      note.show(event.clientX - box.left, event.clientY - box.top, element("strong", {}, title), element("span", {}, ...rest));
    }
  }
  keepDrawn(host, draw);
})();
