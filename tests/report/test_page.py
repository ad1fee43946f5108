import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from equipoise import cli
from equipoise.config import Recipe
from equipoise.report.html import write_page
from equipoise.studies import execute, open_study, plan, save_recipe

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>alert(1)</script>"
RECIPE = {
    "name": "hostile",
    "description": "<img src=x onerror=alert(2)> & 'quotes' \"too\"",
    "tasks": ["depth", "normals"],
    "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
    "training": {"epochs": 1, "batch_size": 2, "learning_rate": 1e-3, "probe": {"every": 1}},
    "balancers": ["uniform", {"name": "avgnorm", "label": HOSTILE}],
}
PATIENCE = 120_000
"""Milliseconds; a loaded machine may be slow."""


def call(*arguments) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["equipoise", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
    return int(caught.value.code or 0)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory, worker_id: str, rooms: Path) -> Path:
    """A real study with its page, made once for all worker processes."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "page"
    root.mkdir(exist_ok=True)
    with FileLock(root / ".lock"):
        directory = root / RECIPE["name"]
        if not (directory / "report.html").exists():
            recipe = Recipe.model_validate(RECIPE | {"data": {"name": "rooms", "root": str(rooms)}})
            save_recipe(recipe, directory)
            execute(plan(recipe, root), root)
            assert call("report", directory) == 0
    return directory


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is installed")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", *quiet], timeout=PATIENCE
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, study: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page of the study; in the end nothing must have gone wrong, and no request have left it."""
    pages, wrong = [], []

    def opened(path: Path = study / "report.html", **options) -> Any:
        page = browser.new_page(**({"viewport": {"width": 1280, "height": 900}} | options))
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url)
        )
        page.goto(path.as_uri())
        page.wait_for_selector("#chart-samples .strip button")
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert wrong == []


def column(page: Any, number: int) -> list[str]:
    return page.locator(f"#table tbody tr > :nth-child({number})").all_inner_texts()


def test_text_of_users_is_text(visit):
    page = visit()
    assert HOSTILE in page.locator("#table tbody").inner_text()
    assert HOSTILE in page.locator(".chips").inner_text()
    assert page.locator(".lead").inner_text() == RECIPE["description"]
    # Charts and lists made by scripts have it too.
    assert page.locator("#chart-changes text", has_text=HOSTILE).count() == 1
    assert page.locator("#chart-samples .strip span", has_text=HOSTILE).count() == 1
    assert page.locator("img[src=x]").count() == 0


def test_everything_is_in_the_file(study):
    found = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.extend(value for name, value in attrs if name in ("src", "href", "srcset", "action"))

    Links().feed((study / "report.html").read_text(encoding="utf-8"))
    assert found
    assert all(link.startswith(("data:", "#")) for link in found)


def test_the_policy_stops_requests_and_foreign_scripts(browser, study):
    page = browser.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((study / "report.html").as_uri(), timeout=PATIENCE)
    # Nothing listens at this address of the machine itself: without the policy the request would still be seen.
    outcome = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'let through', () => 'stopped')")
    page.evaluate(
        "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        "document.body.append(script); })()"
    )
    assert outcome == "stopped"
    assert not [url for url in requests if url.startswith("http")]
    assert page.evaluate("window.ran") is None
    page.close()


def test_tables_sort_by_number_the_best_first(visit):
    page = visit()
    numbers = ["9", "100", "-5"]
    page.evaluate(
        "(numbers) => document.querySelectorAll('#table tbody tr').forEach((row, place) => {"
        "row.cells[1].dataset.value = numbers[place]; row.cells[1].textContent = numbers[place]; })",
        numbers,
    )
    before = column(page, 1)
    heading = page.locator("#table thead th").nth(1)
    assert "depth rmse" in heading.inner_text()
    # Less is better for depth, more for delta_m.
    heading.get_by_role("button").click()
    assert column(page, 2) == ["-5", "9", "100"]
    assert column(page, 1) == [before[place] for place in (2, 0, 1)]
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").press("Enter")
    assert column(page, 2) == ["100", "9", "-5"]
    page.locator("#table thead th").nth(3).get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "none"
    deltas = [float(text) for text in column(page, 4)]
    assert len(set(deltas)) > 1
    assert deltas == sorted(deltas, reverse=True)


def test_a_hidden_method_is_nowhere_and_comes_back(visit):
    page = visit()

    def seen() -> list[int]:
        rows = page.locator("#table tbody tr:visible, #run-list tbody tr:visible").filter(has_text="uniform")
        panels = page.locator("#chart-gradients h4", has_text="uniform")
        bars = page.locator("#chart-changes text", has_text="uniform")
        pictures = page.locator("#chart-samples .strip button", has_text="uniform")
        return [rows.count(), panels.count(), bars.count(), pictures.count()]

    before = seen()
    assert min(before) > 0
    chip = page.locator(".chip[data-kind=method][data-name=uniform]")
    chip.click()
    # The directories of single-task runs have the name of their balancer in them.
    hidden = seen()
    assert hidden[1:] == [0, 0, 0]
    assert hidden[0] == before[0] - 2
    assert chip.get_attribute("aria-pressed") == "false"
    chip.press("Enter")
    assert seen() == before


def test_a_hidden_task_leaves_the_charts(visit):
    page = visit()
    bars = page.locator("#chart-changes .bar").count()
    page.locator(".chip[data-kind=task][data-name=depth]").click()
    assert page.locator("#chart-changes .bar").count() == bars / 2
    assert page.locator("#chart-epochs h4").all_inner_texts() == ["normals merr ↓"]


def test_the_slider_moves_between_two_predictions(visit):
    page = visit()
    right = page.locator(".stage .right").first
    samples = json.loads(page.locator("#data").text_content())["samples"]
    assert len(samples) >= 1
    assert right.get_attribute("src") == samples[0]["predictions"][HOSTILE]["depth"]

    def clip() -> str:
        return right.evaluate("image => image.style.clipPath")

    assert clip() == "inset(0px 0px 0px 50%)"
    slider = page.get_by_label("Where the left prediction ends")
    slider.focus()
    slider.press("ArrowRight")
    assert clip() == "inset(0px 0px 0px 51%)"
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.51 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    found = re.fullmatch(r"inset\(0px 0px 0px (\d+)%\)", clip())
    assert found
    assert 15 <= int(found[1]) <= 25
    viewer = page.locator("#chart-samples")
    viewer.get_by_label("Task").select_option("normals")
    viewer.locator(".strip button", has_text="label").click()
    assert right.get_attribute("src") == samples[0]["labels"]["normals"]
    viewer.get_by_label("Left", exact=True).select_option("single")
    assert page.locator(".stage .left").first.get_attribute("src") == samples[0]["predictions"]["single"]["normals"]


def test_values_can_be_read_with_the_pointer_and_the_keys(visit):
    page = visit()
    panel = page.locator("#chart-gradients .panel").first
    panel.locator("svg").hover()
    assert re.search(r"step \d+.*depth.*\d", panel.locator(".tip").inner_text(), re.DOTALL)
    panel.locator("svg").focus()
    page.keyboard.press("Home")
    first = panel.locator(".tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert panel.locator(".tip").inner_text() != first
    page.keyboard.press("Escape")
    assert panel.locator(".tip").is_hidden()
    page.get_by_label("Quantity").select_option("share")
    assert page.locator("#chart-gradients .reference").count() == page.locator("#chart-gradients .panel").count()
    page.locator("#chart-changes .hit").first.hover()
    assert "%" in page.locator("#chart-changes .tip").inner_text()


def test_the_first_chart_is_read_with_the_keys(visit):
    page = visit()
    chart, tip = page.locator("#chart-changes svg"), page.locator("#chart-changes .tip")
    chart.focus()
    page.keyboard.press("End")
    assert "delta_m" in tip.inner_text()
    last = tip.inner_text()
    page.keyboard.press("ArrowUp")
    assert "normals merr" in tip.inner_text()
    page.keyboard.press("ArrowDown")
    assert tip.inner_text() == last
    assert page.locator("#chart-changes .chosen").count() == 1
    page.keyboard.press("Tab")
    assert tip.is_hidden()
    assert page.locator("#chart-changes .chosen").count() == 0


@pytest.mark.parametrize("values", [(3.0, 3.0), (0.35, 0.39), (1e-5, 2000.0)])
def test_a_logarithmic_axis_has_numbers(study, visit, tmp_path, values):
    text = (study / "report.html").read_text(encoding="utf-8")
    data = re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert data
    content = json.loads(data[1])
    for run in content["gradients"]["runs"]:
        for curve in run["curves"]["weighted_norm"].values():
            for name in ("mean", "low", "high"):
                curve[name] = [values[place % 2] for place in range(len(curve["x"]))]
    path = tmp_path / "page.html"
    path.write_text(text.replace(data[1], json.dumps(content).replace("<", "\\u003c")), encoding="utf-8")
    numbers = visit(path).locator("#chart-gradients .panel").first.locator(".tick[text-anchor=end]")
    assert 2 <= numbers.count() <= 6
    assert len(set(numbers.all_text_contents())) == numbers.count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(visit, scheme):
    page = visit(viewport={"width": 360, "height": 740}, color_scheme=scheme, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (scheme == "dark")


def test_pictures_have_words_and_paper_shows_everything(visit):
    page = visit()
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("#figures img").count() > 3
    assert page.locator("svg[role=img]:not([aria-label])").count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0


def test_the_command_of_a_row_makes_that_row(study, visit, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    page = visit()
    row = page.locator(".commands > div", has_text=HOSTILE)
    program, *arguments = shlex.split(row.locator("code").inner_text())
    assert program == "equipoise"
    monkeypatch.chdir(study)
    # A dry run says which of its runs are there already: all of them, since they are the same.
    assert call(*arguments, "-o", study.parent, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "3 runs are known, 3 of them finished" in printed
    assert HOSTILE in printed


def test_what_searches_have_found_is_on_the_page(study, visit, tmp_path):
    for part in ("runs", study.name):
        shutil.copytree(study.parent / part, tmp_path / part)
    directory = tmp_path / study.name
    search = ("search", directory / "study.yaml", "-o", tmp_path, "--strategy")
    assert call(*search, "avgnorm") == 0
    assert call(*search, "random", "--runs", "2") == 0
    page = visit(write_page(open_study(directory)))
    section = page.locator("section#search")
    assert section.locator("#search-0 tbody th").all_inner_texts() == ["avgnorm", "random"]
    assert not section.locator("#search-0-random").is_visible()
    section.locator("summary", has_text="strategy random").click()
    assert section.locator("#search-0-random tbody tr").count() == 2
    pasted = section.locator(".notes code", has_text="weights of random").inner_text()
    (entry,) = yaml.safe_load(pasted)
    assert set(entry["weights"]) == {"depth", "normals"}
    assert page.locator("nav a", has_text="Loss-weight search").count() == 1


def test_a_study_that_is_not_finished_has_a_page_that_says_so(study, visit, tmp_path):
    for part in ("runs", study.name):
        shutil.copytree(study.parent / part, tmp_path / part)
    before = open_study(tmp_path / study.name)
    assert before.left == 0
    begun, failed = before.rows[0], before.rows[-1]
    (Path(begun.directory) / "result.json").unlink()
    (Path(failed.directory) / "result.json").unlink()
    (Path(failed.directory) / "failure.json").write_text(json.dumps({"error": "NonFiniteError: <b>seg</b>"}))
    page = visit(write_page(open_study(tmp_path / study.name)))
    assert "2 of its runs are missing" in page.locator(".notice").first.inner_text()
    states = page.locator("#run-list .text[class*=state-]").all_inner_texts()
    assert states == ["begun: epoch 1 of 1 is done", "finished", "finished", "failed: NonFiniteError: <b>seg</b>"]
    assert "2 of 4" in page.locator(".facts").inner_text()


def test_a_study_without_a_run_has_a_page(study, tmp_path):
    shutil.copytree(study, tmp_path / "empty", ignore=shutil.ignore_patterns("*.html"))
    text = write_page(open_study(tmp_path / "empty"), tmp_path / "elsewhere" / "page.html").read_text(encoding="utf-8")
    assert "4 of its runs are missing" in re.sub(r"\s+", " ", text)
    assert not (tmp_path / "empty" / "report.html").exists()
