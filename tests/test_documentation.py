"""Every example of the documentation runs."""

import re
import runpy
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


# Its blocks are files of one study, which test_own_classes.py runs.
APART = {"own_classes.md"}


def blocks() -> list[tuple[str, str]]:
    return [
        (f"{page.name}-{number}", block)
        for page in PAGES
        if page.name not in APART
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    ]


def surroundings() -> dict[str, object]:
    """The surroundings of an example: a network, its losses, data and an optimiser."""
    torch.manual_seed(0)
    encoder = timm.create_model("resnet18", pretrained=False, num_classes=0)
    heads = nn.ModuleDict({task: nn.Linear(512, 2) for task in ("seg", "depth")})
    targets = {task: torch.randn(2, 2) for task in heads}
    return {
        "encoder": encoder,
        "heads": heads,
        "task_losses": {"seg": nn.MSELoss(), "depth": nn.L1Loss()},
        "loader": [(torch.randn(2, 3, 32, 32), targets)] * 2,
        "optimizer": torch.optim.SGD([*encoder.parameters(), *heads.parameters()], lr=0.01),
    }


@pytest.mark.parametrize("block", [block for _, block in blocks()], ids=[name for name, _ in blocks()])
def test_blocks_of_the_pages_run(block):
    before = surroundings()
    weight = before["encoder"].conv1.weight.clone()
    exec(compile(block, "documentation", "exec"), before)
    assert not torch.equal(weight, before["encoder"].conv1.weight)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert "last weights" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_the_pages_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), target
