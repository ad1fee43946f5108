// The methods, variants and tasks that are hidden on the whole page.

const filters = (() => {
  const hidden = { method: new Set(), variant: new Set(), task: new Set() };
  const listeners = [];

  function apply() {
    for (const node of document.querySelectorAll("[data-method]")) {
      node.hidden = hidden.method.has(node.dataset.method) || hidden.variant.has(node.dataset.variant);
    }
    for (const listener of listeners) listener();
  }

  for (const chip of document.querySelectorAll(".chip")) {
    chip.addEventListener("click", () => {
      const { kind, name } = chip.dataset;
      const hide = !hidden[kind].delete(name);
      if (hide) hidden[kind].add(name);
      chip.setAttribute("aria-pressed", String(!hide));
      apply();
    });
  }

  return {
    listen: (listener) => listeners.push(listener),
    shows: ({ variant, method }) => !hidden.method.has(method) && !hidden.variant.has(variant),
    tasks: () => data.tasks.filter((task) => !hidden.task.has(task.name)),
    variants: () => data.variants.filter((variant) => !hidden.variant.has(variant)),
  };
})();
