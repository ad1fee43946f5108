// Two predictions for one image with a line between them that can be moved; below, those of all methods.

(() => {
  const chart = document.getElementById("chart-samples");
  if (!chart) return;
  const host = chart.querySelector(".drawing");
  const split = (name) => {
    // Of a study with variants, predictions are named "variant, method".
    const variant = data.variants.find((one) => data.methods.some((method) => `${one}, ${method.name}` === name));
    return variant === undefined ? { variant: null, method: name } : { variant, method: name.slice(variant.length + 2) };
  };
  const names = [...new Set(data.samples.flatMap((sample) => Object.keys(sample.predictions)))];
  const multi = names.filter((name) => split(name).method !== "single");
  let place = 0;
  let task = data.tasks[0].name;
  const sides = { left: multi[0] ?? "label", right: multi.at(-1) ?? "label" };
  let position = 50;

  const source = (name) => {
    const sample = data.samples[place];
    if (name === "image") return sample.image;
    return (name === "label" ? sample.labels : sample.predictions[name] ?? {})[task];
  };

  const thumbnails = element("div", { class: "thumbnails", role: "group", "aria-label": "Test image" },
    ...data.samples.map((sample, number) =>
      element("button", { type: "button", "aria-pressed": number === 0, "aria-label": `Image ${sample.identifier}`, onclick: () => { place = number; draw(); } },
        element("img", { src: sample.image, alt: "" }))));
  const options = [["label", "label"], ["image", "image"], ...names.map((name) => [name, name])];
  const selects = element("div", { class: "controls" });
  const lists = {};
  for (const side of ["left", "right"]) {
    const made = choice(side === "left" ? "Left" : "Right", options, sides[side], (name) => { sides[side] = name; draw(); });
    lists[side] = made.querySelector("select");
    selects.append(made);
  }
  const taskList = choice("Task", data.tasks.map((one) => [one.name, one.name]), task, (name) => { task = name; draw(); });
  selects.prepend(taskList);
  const pictures = { left: element("img", { class: "left" }), right: element("img", { class: "right" }) };
  const tags = { left: element("span", { class: "tag left" }), right: element("span", { class: "tag right" }) };
  const handle = element("div", { class: "handle" });
  const slider = element("input", { type: "range", min: 0, max: 100, value: position, "aria-label": "Where the left prediction ends", oninput: () => move(Number(slider.value)) });
  const stage = element("div", { class: "stage" }, pictures.left, pictures.right, handle, tags.left, tags.right, slider);
  const missing = element("p", { class: "muted", hidden: true }, "There is no such picture for this image.");
  const strip = element("div", { class: "strip" });
  host.append(thumbnails, selects, element("div", { class: "compare" }, element("div", { class: "viewer" }, stage, missing), strip));

  function move(to) {
    position = to;
    pictures.right.style.clipPath = `inset(0 0 0 ${to}%)`;
    handle.style.left = `${to}%`;
    slider.setAttribute("aria-valuetext", `${to} % ${sides.left}, ${100 - to} % ${sides.right}`);
  }

  function draw() {
    const sample = data.samples[place];
    [...thumbnails.children].forEach((button, number) => button.setAttribute("aria-pressed", String(number === place)));
    stage.style.aspectRatio = `${sample.width} / ${sample.height}`;
    stage.classList.toggle("small", sample.width < 300);
    let complete = true;
    for (const side of ["left", "right"]) {
      lists[side].value = sides[side];
      const found = source(sides[side]);
      complete &&= Boolean(found);
      if (found) pictures[side].src = found;
      pictures[side].alt = `${task}, ${sides[side]}, image ${sample.identifier}`;
      tags[side].textContent = sides[side];
    }
    stage.hidden = !complete;
    missing.hidden = complete;
    const visible = names.filter((name) => filters.shows(split(name)));
    strip.replaceChildren(
      ...["image", "label", ...visible].filter(source).map((name) =>
        element("button", { type: "button", "data-shows": name, "aria-pressed": String(name === sides.right), onclick: () => { sides.right = name; draw(); } },
          element("img", { src: source(name), alt: "", class: sample.width < 300 ? "small" : "" }), element("span", {}, name))),
    );
    move(position);
  }
  filters.listen(draw);
  draw();
})();
