"""Write the typed exports of all methods: the imports of `equipoise/__init__.py` and `equipoise/functional.py`.

    python tools/exports.py            # after adding a file to balancing/methods
    python tools/exports.py --check    # exit code 1 if they are stale

A method's file lists its public names in `__all__`: the registered class goes to `equipoise`, functions and their state
classes to `equipoise.functional`. Only the docstrings are written by hand.
"""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "equipoise"
METHODS = PACKAGE / "balancing" / "methods"

FIXED = {
    "equipoise": ["functional"],
    "equipoise._core.registry": ["register"],
    "equipoise._core.version": ["__version__"],
    "equipoise.balancing": [
        "Balance",
        "Balancer",
        "Context",
        "Forward",
        "GradientObserver",
        "Measurement",
        "MethodInfo",
        "Need",
        "NonFiniteError",
        "Place",
        "SolverError",
        "StepInputs",
        "Update",
        "available",
        "create",
        "undisturbed",
    ],
    "equipoise.balancing.bases": [
        "BargainingBalancer",
        "CrossGramBalancer",
        "DirectionBalancer",
        "EpochBalancer",
        "GradientBalancer",
        "GramBalancer",
        "WeightBalancer",
    ],
    "equipoise.balancing.hyper_parameters": ["Rule", "hyper"],
    "equipoise.diagnosis.probe": ["Probe"],
}
"""Exports of `equipoise` besides the methods."""


def public_names(path: Path) -> tuple[list[str], list[str]]:
    """Return the registered classes of a method's file and its other public names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    registered = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any("register" in ast.unparse(one) for one in node.decorator_list)
    }
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            return [name for name in names if name in registered], [name for name in names if name not in registered]
    raise SystemExit(f"{path} should list its public names in `__all__`.")


def written(path: Path, imports: dict[str, list[str]]) -> str:
    """Return a file with the imports and `__all__` that it should have; its docstring stays.

    Args:
        path: The file.
        imports: Names by module.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False)
    exported = sorted(name for names in imports.values() for name in names)
    text = "\n".join(
        [
            f'"""{docstring}"""',
            "",
            *(f"from {module} import {', '.join(names)}" for module, names in imports.items() if names),
            "",
            "__all__ = [",
            *(f'    "{name}",' for name in exported),
            "]",
            "",
        ]
    )
    for command in (["check", "--fix", "--select", "I,RUF022"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", str(path), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


def main() -> None:
    """Write the files, or with `--check` compare them."""
    classes, functions = dict(FIXED), {}
    for path in sorted(METHODS.glob("*.py")):
        if path.stem != "__init__":
            module = f"equipoise.balancing.methods.{path.stem}"
            classes[module], functions[module] = public_names(path)
    stale = []
    for path, imports in {PACKAGE / "__init__.py": classes, PACKAGE / "functional.py": functions}.items():
        new = written(path, imports)
        if new != path.read_text(encoding="utf-8"):
            stale.append(path)
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    if stale and "--check" in sys.argv:
        raise SystemExit(f"Stale: {', '.join(map(str, stale))}. Call `python tools/exports.py`.")


if __name__ == "__main__":
    main()
