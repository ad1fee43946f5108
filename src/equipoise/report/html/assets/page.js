// The page as a whole.

for (const node of document.querySelectorAll("[data-colour]")) node.style.setProperty("--colour", node.dataset.colour);
for (const node of document.querySelectorAll("[data-method]")) node.style.setProperty("--colour", look[node.dataset.method]?.colour ?? "transparent");
for (const task of data.tasks) {
  for (const node of document.querySelectorAll("[data-task]")) if (node.dataset.task === task.name) node.style.setProperty("--colour", task.colour);
}

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

{
  const button = document.querySelector(".theme");
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  name();
}

// On paper everything is shown.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
