"""The package's exports, as a type checker and a reader of the package see them."""

import subprocess
import sys
from pathlib import Path

import pytest

import equipoise

ROOT = Path(__file__).parents[1]


def test_the_exports_are_not_stale():
    outcome = subprocess.run([sys.executable, ROOT / "tools" / "exports.py", "--check"], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr


def test_every_method_is_exported_by_name():
    for name, method in ((name, type(equipoise.create(name, **extra))) for name, extra in _all()):
        assert getattr(equipoise, method.__name__) is method, name


def _all():
    return [(name, {"weights": {"a": 1.0}} if name == "fixed" else {}) for name in equipoise.available()]


@pytest.mark.slow
def test_a_type_checker_refuses_wrong_names_and_values(tmp_path):
    lines = {
        "equipoise.AvgNorm(evry=3)": 'No parameter named "evry"',
        "equipoise.AvgNrom()": '"AvgNrom" is not a known attribute',
        'equipoise.AvgNorm(every="3")': 'cannot be assigned to parameter "every"',
        "equipoise.Fixed()": 'Argument missing for parameter "weights"',
        'equipoise.CAGrad(reduction="median")': 'cannot be assigned to parameter "reduction"',
        "equipoise.AvgNorm(every=3, nonfinite='skip')": None,
    }
    path = tmp_path / "user.py"
    path.write_text("\n".join(["import equipoise", *lines]) + "\n")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(path)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    found = {int(line.split(":")[1]): line for line in told.splitlines() if " - error: " in line}
    for number, message in enumerate(lines.values(), start=2):
        assert (message in found[number]) if message else (number not in found), told
