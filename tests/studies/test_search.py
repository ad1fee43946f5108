import json
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from equipoise.cli import app
from equipoise.config import Recipe
from equipoise.studies import execute
from equipoise.studies.search import (
    Budget,
    BudgetSpent,
    Problem,
    Search,
    Trial,
    TrialRuns,
    Weights,
    available,
    create,
    parse_ranges,
    read_search,
)
from equipoise.studies.search.problem import ShouldPrune, never_prune
from equipoise.studies.search.strategies import sampling

TASKS = ("seg", "depth", "edge")


class Objective(Problem):
    """Scores weights by a function, in as many epochs as it gives scores."""

    tasks, identity, jobs = TASKS, "objective", 1

    def __init__(self, curve: Callable[[Weights], Sequence[float]], directory: Path, budget: Budget | None = None):
        self.curve, self.directory, self.budget = curve, directory, budget or Budget()
        self.made: dict[str, Trial] = {}
        self.begun: list[Weights] = []

    def trials(self) -> list[Trial]:
        return list(self.made.values())

    def add(self, trials: Sequence[Trial]) -> None:
        self.made |= {trial.run: trial for trial in trials}

    def free_slots(self) -> int:
        return self.budget.allows(self.trials(), self.jobs)

    def is_orphaned(self, weights: Weights, *, elsewhere: bool) -> bool:
        return True

    def mean_weights(self, balancer: str, fraction: float) -> Weights:
        self.begun.append({})
        return {"seg": 1.23456, "depth": 3 * fraction, "edge": 100.0}

    def evaluate(self, candidates: Sequence[Weights], should_prune: ShouldPrune = never_prune) -> list[Trial]:
        for number, weights in enumerate(candidates):
            if str(weights) in self.made:
                continue
            if not self.free_slots():
                raise BudgetSpent
            self.begun.append(weights)
            scores = self.curve(weights)
            for epoch, score in enumerate(scores[:-1], 1):
                if should_prune(number, epoch, score):
                    status, reached = "abandoned", epoch
                    break
            else:
                status, reached = "finished", len(scores)
            self.made[str(weights)] = Trial(
                weights=weights,
                run=str(weights),
                status=status,
                score=scores[reached - 1],
                epochs=reached,
                seconds=60.0 * reached,
            )
        return [self.made[str(weights)] for weights in candidates]


def separable(weights: Weights) -> list[float]:
    return [-abs(math.log(weights["depth"] / 5)) - abs(math.log(weights["edge"] / 50))]


def best(problem: Problem) -> Weights:
    return max(problem.trials(), key=lambda trial: trial.value).weights


def test_strategies_are_found_by_their_files():
    assert available() == ["avgnorm", "coordinate", "grid", "random", "tpe"]


def test_a_grid_tries_every_combination_once(tmp_path):
    problem = Objective(separable, tmp_path)
    strategy = create("grid", TASKS, ranges={"depth": (1, 5), "edge": (10, 50, 100)})
    strategy.search(problem)
    assert problem.begun == [
        {"seg": 1.0, "depth": depth, "edge": edge} for depth in (1.0, 5.0) for edge in (10.0, 50.0, 100.0)
    ]
    assert strategy.expected() == len(problem.begun)
    assert best(problem) == {"seg": 1.0, "depth": 5.0, "edge": 50.0}


def test_a_budget_ends_a_grid_and_a_larger_one_goes_on(tmp_path):
    problem = Objective(separable, tmp_path, Budget(runs=4))
    strategy = create("grid", TASKS, ranges={"depth": (1, 5), "edge": (10, 50, 100)})
    with pytest.raises(BudgetSpent):
        strategy.search(problem)
    assert len(problem.begun) == 4
    problem.budget = Budget(hours=5 / 60)
    with pytest.raises(BudgetSpent):
        strategy.search(problem)
    assert len(problem.begun) == 5


def test_coordinates_find_the_optimum_of_a_separable_function(tmp_path):
    problem = Objective(separable, tmp_path)
    strategy = create("coordinate", TASKS)
    strategy.search(problem)
    assert best(problem) == {"seg": 1.0, "depth": 5.0, "edge": 50.0}
    # Seven values of the second task, six further ones of the third.
    assert len(problem.begun) == 13 == strategy.expected()
    assert [weights["edge"] for weights in problem.begun[:7]] == [1.0] * 7


def test_coordinates_go_on_for_several_rounds_until_nothing_changes(tmp_path):
    def valley(weights: Weights) -> list[float]:
        depth, edge = math.log(weights["depth"]), math.log(weights["edge"])
        return [-((depth - edge) ** 2) - 0.2 * (depth - math.log(100)) ** 2]

    found = []
    for rounds in (1, 2, 20):
        problem = Objective(valley, tmp_path)
        create("coordinate", TASKS, rounds=rounds).search(problem)
        found.append(valley(best(problem))[0])
        assert len(problem.begun) <= create("coordinate", TASKS, rounds=rounds).expected()
    assert found[0] < found[1] <= found[2]


def test_avgnorm_trains_twice(tmp_path):
    problem = Objective(separable, tmp_path)
    create("avgnorm", TASKS, fraction=0.5).search(problem)
    assert problem.begun == [{}, {"seg": 1.235, "depth": 1.5, "edge": 100.0}]


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_resumed_search_draws_what_an_uninterrupted_one_draws(tmp_path, name):
    whole, first, second = (tmp_path / part for part in ("whole", "parts", "parts"))
    for directory in (whole, first):
        directory.mkdir()
    strategy = create(name, TASKS, ranges={"depth": (0.1, 100)})
    uninterrupted = Objective(separable, whole, Budget(runs=14))
    strategy.search(uninterrupted)
    before = Objective(separable, first, Budget(runs=11))
    create(name, TASKS, ranges={"depth": (0.1, 100)}).search(before)
    after = Objective(separable, second, Budget(runs=14))
    create(name, TASKS, ranges={"depth": (0.1, 100)}).search(after)
    assert [*before.begun, *after.begun] == uninterrupted.begun
    assert len(after.trials()) == 14
    assert len({str(weights) for weights in uninterrupted.begun}) == 14
    for weights in uninterrupted.begun:
        assert weights["seg"] == 1.0
        assert 0.1 <= weights["depth"] <= 100
        assert 1 <= weights["edge"] <= 100


def test_a_trial_whose_process_was_killed_is_taken_up_again(tmp_path):
    def interrupted(weights: Weights) -> list[float]:
        if len(problem.begun) == 3:
            raise KeyboardInterrupt
        return separable(weights)

    problem = Objective(interrupted, tmp_path, Budget(runs=5))
    with pytest.raises(KeyboardInterrupt):
        create("random", TASKS).search(problem)
    after = Objective(separable, tmp_path, Budget(runs=5))
    create("random", TASKS).search(after)
    assert len(after.trials()) == 5
    assert after.begun[0] == problem.begun[2]


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_range_with_fewer_weights_than_the_budget_pays_for_comes_to_an_end(tmp_path, monkeypatch, name):
    monkeypatch.setattr(sampling, "_MOST_REPEATS", 10)
    problem = Objective(separable, tmp_path, Budget(runs=5))
    create(name, TASKS, ranges={"depth": (1, 1.002), "edge": (1,)}).search(problem)
    assert 1 <= len(problem.begun) <= 3


@pytest.mark.parametrize(
    "storage", ["foo", "nosuch://host/database", "sqlite:////no/such/directory/a.db", "oracle://host/database"]
)
def test_a_database_that_cannot_be_opened_is_named(tmp_path, storage):
    with pytest.raises(ValueError, match=rf"`storage` should be the URL .* Found `storage = '{storage}'"):
        create("random", TASKS, storage=storage).search(Objective(separable, tmp_path, Budget(runs=1)))


@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_a_damaged_database_is_named(tmp_path, kept):
    path = tmp_path / "search.db"
    create("random", TASKS).search(Objective(separable, tmp_path, Budget(runs=1)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))] or b"no database" * 100)
    with pytest.raises(ValueError, match=r"`storage` should be .* a damaged file may be deleted.*search\.db"):
        create("random", TASKS).search(Objective(separable, tmp_path, Budget(runs=1)))
    path.unlink()
    create("random", TASKS).search(Objective(separable, tmp_path, Budget(runs=1)))


def test_hopeless_trials_are_abandoned(tmp_path):
    def curve(weights: Weights) -> list[float]:
        # Diverging networks score minus infinity.
        falling = -math.inf if weights["depth"] > 50 else separable(weights)[0]
        return [falling] * 4

    problem = Objective(curve, tmp_path, Budget(runs=30))
    create("random", TASKS).search(problem)
    abandoned = [trial for trial in problem.trials() if trial.status == "abandoned"]
    assert abandoned
    assert all(trial.epochs < 4 for trial in abandoned)
    assert all(trial.value == -math.inf for trial in abandoned)
    winner = max(problem.begun, key=lambda weights: curve(weights)[0])
    assert best(problem) == winner


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gird", {}, "Did you mean `grid`"),
        ("grid", {"rounds": 2}, "takes the options ranges. Found `rounds = 2`"),
        ("grid", {"ranges": {"dept": (1,)}}, "Did you mean `depth`"),
        ("grid", {"ranges": {"depth": (-1,)}}, "zero or more"),
        ("tpe", {"ranges": {"depth": (0, 1)}}, "positive"),
        ("coordinate", {"rounds": 0}, "at least 1"),
        ("avgnorm", {"fraction": 1.5}, r"in \(0, 1\]"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        create(name, TASKS, **options)


@pytest.mark.parametrize("texts", [["depth"], ["depth=a"], ["depth=1", "depth=2"]])
def test_wrong_ranges_are_refused(texts):
    with pytest.raises(ValueError, match="range"):
        parse_ranges(texts)


def recipe(rooms: Path, **changes) -> Recipe:
    content = {
        "name": "tiny",
        "data": {"name": "rooms", "root": str(rooms)},
        "tasks": ["seg", "depth"],
        "model": {"backbone": "test_resnet", "decoder": "conv", "output_stride": 8},
        "training": {"epochs": 3, "batch_size": 3, "learning_rate": 1e-3},
        "balancers": ["uniform"],
    }
    return Recipe.model_validate(content | changes)


def test_a_search_needs_a_budget_where_it_has_no_end(rooms, tmp_path):
    with pytest.raises(ValueError, match="budget"):
        Search(recipe(rooms), "tpe", tmp_path, tmp_path)
    with pytest.raises(ValueError, match="grid"):
        Search(recipe(rooms, grid={"training.epochs": [1, 2]}), "grid", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("strategy", "storage"), [("random", "nosuch://host/database"), ("tpe", "sqlite:////no/such/directory/a.db")]
)
def test_a_wrong_database_is_found_before_anything_is_trained(rooms, tmp_path, strategy, storage):
    def search(**options) -> Search:
        return Search(recipe(rooms), strategy, tmp_path, tmp_path / "study", options=options, budget=Budget(runs=1))

    with pytest.raises(ValueError, match="`storage` should be the URL"):
        search(storage=storage).check()
    search().check()
    assert (tmp_path / "study" / "search.db").exists()
    Search(recipe(rooms), "grid", tmp_path, tmp_path).check()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_abandoned_run_has_no_result_and_no_failure_and_can_be_taken_up_again(rooms, tmp_path, jobs):
    def make(planned, watch):
        execute(planned, tmp_path, jobs=jobs, watch=watch)

    study = recipe(rooms, training={"epochs": 12, "batch_size": 3})
    search = Search(study, "grid", tmp_path, tmp_path)
    make(search.singles, lambda event: None)
    weights = [{"seg": 1.0, "depth": 2.0}, {"seg": 1.0, "depth": 5.0}]
    runs = TrialRuns(study, tmp_path, tmp_path, make, jobs=jobs)
    hopeless, good = runs.evaluate(weights, lambda trial, epoch, score: trial == 0 and epoch >= 2)
    assert (hopeless.status, good.status) == ("abandoned", "finished")
    assert hopeless.epochs >= 2
    directory = tmp_path / "runs" / hopeless.run
    assert not (directory / "result.json").exists()
    assert not (directory / "failure.json").exists()
    again = TrialRuns(study, tmp_path, tmp_path, make, jobs=jobs)
    finished, cached = again.evaluate(weights)
    assert finished.status == "finished"
    assert cached.cached
    epochs = [json.loads(line)["epoch"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert epochs == sorted([*range(1, 13)] * 2)


@pytest.mark.slow
def test_the_command_compares_a_grid_with_avgnorm(rooms, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe(rooms).model_dump(mode="json", exclude_unset=True)))

    def search(*options: str):
        found = CliRunner().invoke(app, ["search", str(path), "-o", str(tmp_path / "out"), *options])
        assert found.exit_code == 0, found.output
        return found.output

    search("--strategy", "grid", "--range", "depth=1,5")
    directory = tmp_path / "out" / "tiny"
    grid = read_search(directory, "grid")
    assert [trial.weights for trial in grid.trials] == [{"seg": 1.0, "depth": 1.0}, {"seg": 1.0, "depth": 5.0}]
    assert grid.test is not None
    assert not any(trial.cached for trial in grid.trials)
    output = search("--strategy", "avgnorm", "--fraction", "0.3")
    result = read_search(directory, "avgnorm")
    warm_up, fixed = result.trials
    assert (warm_up.balancer, warm_up.status, warm_up.epochs) == ("avgnorm", "abandoned", 1)
    assert fixed.weights == {task: float(f"{weight:.4g}") for task, weight in warm_up.weights.items()}
    assert "strategy" in output
    text = (directory / "search-avgnorm.md").read_text()
    pasted = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert pasted == [{"name": "fixed", "label": "weights of avgnorm", "weights": fixed.weights}]
    compared = (directory / "search.md").read_text()
    assert "| avgnorm |" in compared
    assert "| grid |" in compared
    search("--strategy", "avgnorm", "--fraction", "0.3")
    assert read_search(directory, "avgnorm") == result


def _search(study: Recipe, root: Path) -> None:
    search = Search(study, "random", root, root / "study", budget=Budget(runs=4))
    execute(search.singles, root)
    search.run(lambda planned, watch: execute(planned, root, watch=watch))


@pytest.mark.slow
def test_a_killed_search_ends_as_if_it_had_never_stopped(rooms, tmp_path):
    study = recipe(rooms)
    root = tmp_path / "killed"
    process = multiprocessing.get_context("spawn").Process(target=_search, args=(study, root))
    process.start()
    while len(list(root.rglob("result.json"))) < 4:
        assert process.is_alive(), "ended too early"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    _search(study, root)
    (tmp_path / "whole").mkdir()
    _search(study, tmp_path / "whole")
    killed, whole = (read_search(place / "study", "random") for place in (root, tmp_path / "whole"))
    outcomes = [[trial.model_dump(exclude={"seconds"}) for trial in result.trials] for result in (killed, whole)]
    assert outcomes[0] == outcomes[1]
    assert killed.test == whole.test
