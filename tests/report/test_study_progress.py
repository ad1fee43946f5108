import pytest
from rich.console import Console

from equipoise.config import Recipe
from equipoise.report.console.progress import StudyProgress, TimeEstimate
from equipoise.studies import Event, plan
from equipoise.training import Status


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def planned(rooms):
    return plan(
        Recipe.model_validate(
            {
                "name": "tiny",
                "data": {"name": "rooms", "root": str(rooms)},
                "tasks": ["seg", "depth"],
                "model": {"backbone": "test_resnet"},
                "balancers": ["uniform", "avgnorm"],
            }
        )
    )


def test_the_estimate_learns_from_runs_of_the_same_kind(planned):
    clock = Clock()
    seg, depth, uniform, avgnorm = (run.key for run in planned)
    estimate = TimeEstimate(planned, 1, clock)
    assert estimate.left() is None
    estimate.update(seg, Status(0, 100, ""))
    assert estimate.left() is None
    clock.now = 10.0
    estimate.update(seg, Status(50, 100, ""))
    # A run of one task takes 20 s; those of two are taken to need half as much again.
    assert estimate.left() == pytest.approx(10 + 20 + 30 + 30)
    estimate.end(seg)
    estimate.end(depth)
    clock.now = 20.0
    estimate.update(uniform, Status(0, 100, ""))
    clock.now = 60.0
    estimate.update(uniform, Status(50, 100, ""))
    assert estimate.left() == pytest.approx(40 + 80)
    assert estimate.done() == pytest.approx((20 + 20 + 40) / 200)
    estimate.end(uniform)
    estimate.end(avgnorm)
    assert estimate.left() == 0
    assert estimate.done() == 1


def test_a_resumed_run_is_judged_by_what_it_does_now(planned):
    clock = Clock()
    estimate = TimeEstimate(planned[:1], 1, clock)
    estimate.update(planned[0].key, Status(80, 100, ""))
    clock.now = 10.0
    estimate.update(planned[0].key, Status(90, 100, ""))
    assert estimate.left() == pytest.approx(10)


def show(planned, root, terminal) -> str:
    console = Console(force_terminal=terminal, width=100)
    with console.capture() as captured, StudyProgress(console, planned, root) as progress:
        for run in planned:
            for done in range(4):
                progress(Event(run, Status(done, 3, f"epoch {done}/3")))
            progress(Event(run, ended=True, error="NonFiniteError: seg" if run is planned[2] else None))
    return captured.get()


def test_a_pipe_gets_one_line_a_run_and_no_control_characters(planned, tmp_path):
    lines = show(planned, tmp_path, terminal=False).splitlines()
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    assert lines[0].startswith("single seg (seed 0): finished in 0 s (1 of 4 runs ended, about ")
    assert lines[2].startswith("uniform (seed 0): failed: NonFiniteError: seg (3 of 4")
    assert lines[3] == "avgnorm (seed 0): finished in 0 s"


def test_a_terminal_gets_bars_as_well(planned, tmp_path):
    shown = show(planned, tmp_path, terminal=True)
    assert "All 4 runs" in shown
    assert "\x1b[" in shown
    assert "avgnorm (seed 0): finished" in shown
