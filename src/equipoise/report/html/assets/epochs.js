// The main metric of every task over epochs, a panel a task, a line a method.

(() => {
  const chart = document.getElementById("chart-epochs");
  if (!chart) return;
  const host = chart.querySelector(".drawing");
  const variants = [...new Set(data.epochs.map((run) => run.variant))];
  let variant = variants[0];
  if (variants.length > 1) {
    chart.querySelector(".controls").append(
      choice("Variant", variants.map((one) => [one, one]), variant, (name) => {
        variant = name;
        draw();
      }),
    );
  }

  function draw() {
    const tasks = filters.tasks();
    const runs = data.epochs.filter((run) => run.variant === variant && filters.shows(run));
    const width = panelWidth(host, tasks.length);
    host.replaceChildren(
      ...tasks.map((task) => {
        const series = runs
          .filter((run) => run.curves[task.name])
          .map((run) => ({ ...look[run.method], ...run.curves[task.name] }));
        return linePanel({ title: task.metric + (task.higher ? " ↑" : " ↓"), series, range: rangeOf(series, false), reference: null, height: 190, width, unit: "epoch" });
      }),
    );
  }
  keepDrawn(host, draw);
})();
