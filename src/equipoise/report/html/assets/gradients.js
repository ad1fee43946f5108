// One quantity of the tasks' gradients over training, a panel a method, a line a task.

(() => {
  const chart = document.getElementById("chart-gradients");
  if (!chart) return;
  const host = chart.querySelector(".drawing");
  const { quantities, runs } = data.gradients;
  let quantity = quantities[0];
  let variant = runs[0].variant;
  const variants = [...new Set(runs.map((run) => run.variant))];
  chart.querySelector(".controls").append(
    choice("Quantity", quantities.map((one) => [one.key, one.title]), quantity.key, (key) => {
      quantity = quantities.find((one) => one.key === key);
      draw();
    }),
    variants.length > 1 ? choice("Variant", variants.map((one) => [one, one]), variant, (name) => {
      variant = name;
      draw();
    }) : "",
  );

  function draw() {
    const panels = runs
      .filter((run) => run.variant === variant && filters.shows(run) && run.curves[quantity.key])
      .map((run) => ({
        run,
        reference: quantity.reference ? { name: quantity.reference, value: run.tasks ** -quantity.power } : null,
        series: filters.tasks().filter((task) => run.curves[quantity.key][task.name]).map((task) => ({ ...task, ...run.curves[quantity.key][task.name] })),
      }));
    const range = rangeOf(panels.flatMap((one) => one.series), Boolean(quantity.log), panels.flatMap((one) => one.reference?.value ?? []));
    const width = panelWidth(host, panels.length);
    host.replaceChildren(
      ...panels.map(({ run, reference, series }) =>
        linePanel({ title: run.method, colour: look[run.method].colour, series, range, reference, height: 200, width, unit: "step" }),
      ),
    );
    if (!panels.length) host.append(element("p", { class: "muted" }, "Nothing to show: it was not recorded, or all is hidden."));
  }
  keepDrawn(host, draw);
})();
