import math
from itertools import combinations

import numpy as np
import polars
import pytest

from equipoise import figures
from equipoise.diagnosis import by_pair, by_step, by_task
from equipoise.figures.curves import block_means


def blocks(frame, value, block):
    """The means that a curve should show, by another way."""
    steps, numbers = frame["step"].to_numpy(), frame[value].to_numpy()
    places = (steps - steps.min()) // block
    return np.array([np.nanmean(numbers[places == place]) for place in np.unique(places)])


def draw(figure):
    """Lay a figure out as for a file: what cannot be drawn raises."""
    figure.canvas.draw()
    return figure.axes


def test_norms_are_block_means_on_a_logarithmic_axis(probe, line):
    frame = probe.to_frame()
    raw, weighted = draw(figures.gradient_norms(frame, block=20))
    for task in ("seg", "depth", "edge"):
        of = frame.filter(task=task)
        x, y = line(raw, task)
        assert y == pytest.approx(blocks(of, "norm", 20))
        assert x == pytest.approx([10.5, 30.5, 50.5, 70.5, 90.5])
        assert line(weighted, task)[1] == pytest.approx(blocks(of, "weighted_norm", 20))
    assert raw.get_yscale() == weighted.get_yscale() == "log"


def test_cosines_have_the_reference_of_orthogonal_gradients_and_their_split(probe, line):
    frame = probe.to_frame()
    cosines, split = draw(figures.cosines_with_update(frame, block=25))
    for task in ("seg", "depth", "edge"):
        assert line(cosines, task)[1] == pytest.approx(blocks(frame.filter(task=task), "cosine_with_update", 25))
    levels = [one.get_ydata() for one in cosines.get_lines() if len(set(one.get_ydata())) == 1]
    assert [level[0] for level in levels] == pytest.approx([3**-0.5])
    parts = figures.cosine_split(frame)
    for part in ("balance", "alignment"):
        assert line(split, part)[1] == pytest.approx(blocks(parts, part, 25))


def test_the_split_is_that_of_the_mean_cosine(probe):
    parts = figures.cosine_split(probe.to_frame())
    whole = by_step(probe.recorded())
    # Under uniform weights contributions are the gradients, and the update is their sum.
    for ours, theirs in (("mean_cosine", "cosine_with_mean"), ("balance", "norm_balance"), ("alignment", "alignment")):
        assert parts[ours].to_list() == pytest.approx(whole[theirs].to_list(), rel=1e-4)


def test_orthogonal_contributions_are_aligned_whatever_their_norms():
    norms = np.array([1.0, 2.0, 5.0])
    cosines = norms / np.linalg.norm(norms)
    frame = polars.DataFrame(
        {"step": 1, "task": ["a", "b", "c"], "weighted_norm": norms, "cosine_with_update": cosines}
    )
    (row,) = figures.cosine_split(frame).rows(named=True)
    assert row["alignment"] == pytest.approx(1)
    assert row["balance"] == pytest.approx(8 / math.sqrt(3 * 30))


def areas(axes):
    """The signed height of all areas at the last block."""
    total = 0.0
    for area in axes.collections:
        points = area.get_paths()[0].vertices
        at = points[np.isclose(points[:, 0], points[:, 0].max())][:, 1]
        total += np.ptp(at) * (1 if at.mean() >= 0 else -1)
    return total


def test_shares_of_the_update_sum_to_one(probe):
    (axes,) = draw(figures.update_share(probe.to_frame(), block=10))
    assert areas(axes) == pytest.approx(1, abs=1e-4)
    assert len(axes.collections) == 6


def test_a_negative_share_lies_below_zero_and_the_others_above_one():
    frame = polars.DataFrame({"step": [1, 1, 2, 2], "task": ["a", "b"] * 2, "share": [1.3, -0.3, 1.2, -0.2]})
    (axes,) = draw(figures.update_share(frame))
    assert areas(axes) == pytest.approx(1)
    low, high = axes.get_ylim()
    assert low < -0.3
    assert high > 1.3
    assert {text.get_text() for text in axes.texts} >= {"a 120%", "b -20%"}


def test_an_absent_task_owns_nothing():
    frame = polars.DataFrame({"step": [1, 1, 2], "task": ["a", "b", "a"], "share": [0.5, 0.5, 1.0]})
    (axes,) = draw(figures.update_share(frame, block=2))
    assert {text.get_text() for text in axes.texts} == {"a 75%", "b 25%"}


@pytest.mark.parametrize(("draws", "value"), [("pairwise_cosines", "cosine"), ("pairwise_dots", "dot")])
def test_pairs_stand_in_the_panels_of_both_tasks(probe, line, draws, value):
    frame = by_pair(probe.recorded())
    axes = draw(getattr(figures, draws)(frame, block=50))
    assert [of.get_title(loc="left") for of in axes] == ["seg with", "depth with", "edge with"]
    expected = blocks(frame.filter(first="seg", second="edge"), value, 50)
    assert line(axes[0], "edge")[1] == pytest.approx(expected)
    assert line(axes[2], "seg")[1] == pytest.approx(expected)


def test_the_matrix_of_gradients(probe, line):
    steps, pairs = by_step(probe.recorded()), by_pair(probe.recorded())
    values, condition, similarity, conflict = draw(figures.gradient_matrix(steps, pairs, block=50))
    first = steps.with_columns(largest=polars.col("singular_values").list.first())
    assert line(values, "0")[1] == pytest.approx(blocks(first, "largest", 50))
    assert line(condition, "all")[1] == pytest.approx(blocks(steps, "condition_number", 50))
    assert line(conflict, "all")[1] == pytest.approx(blocks(steps, "conflict_rate", 50))
    assert line(similarity, "all")[1] == pytest.approx(blocks(pairs, "magnitude_similarity", 50))


def test_the_mean_cosine_of_problems_of_other_sizes(probe, line):
    steps = by_step(probe.recorded())
    both = polars.concat(
        [
            steps.with_columns(method=polars.lit("three")),
            steps.with_columns(method=polars.lit("two"), orthogonal=polars.lit(2**-0.5)),
        ]
    )
    (axes,) = draw(figures.mean_cosine(both, percent=50))
    expected = [steps["cosine_with_mean"][:49].mean(), steps["cosine_with_mean"][49:99].mean()]
    assert line(axes, "three")[1][:2] == pytest.approx(expected, rel=0.05)
    levels = {round(one.get_ydata()[0], 6) for one in axes.get_lines() if len(one.get_xdata()) == 2}
    assert {round(3**-0.5, 6), round(2**-0.5, 6)} <= levels


def test_distances_of_features(line):
    frame = polars.DataFrame({"step": [1, 2, 3] * 2, "task": ["a"] * 3 + ["b"] * 3, "distance": [3.0, 2, 1, 6, 5, 4]})
    (axes,) = draw(figures.feature_distance(frame))
    assert line(axes, "a")[1].tolist() == [3, 2, 1]


def test_methods_stand_beside_each_other_on_one_scale(probe):
    frame = probe.to_frame()
    both = polars.concat([frame.with_columns(method=polars.lit(name)) for name in ("uniform", "avgnorm")])
    for figure in (figures.gradient_norms(both), figures.cosines_with_update(both), figures.update_share(both)):
        axes = draw(figure)
        assert axes[0].get_title(loc="left").startswith("uniform")
        assert axes[1].get_title(loc="left").startswith("avgnorm")
        assert axes[0].get_ylim() == axes[1].get_ylim()
    pairs = by_pair(probe.recorded())
    both = polars.concat([pairs.with_columns(method=polars.lit(name)) for name in ("uniform", "avgnorm")])
    assert len(draw(figures.pairwise_cosines(both))) == 6
    steps = by_step(probe.recorded())
    steps = polars.concat([steps.with_columns(method=polars.lit(name)) for name in ("uniform", "avgnorm")])
    axes = draw(figures.gradient_matrix(steps, both))
    assert [of.get_title(loc="left") for of in axes[:2]] == ["uniform", "avgnorm"]
    assert len(axes) == 2 * 4


def test_panels_without_curves_have_the_scale_of_the_others():
    curve = polars.DataFrame({"step": [5000, 5010], "task": "a", "distance": [3.0, 4.0]})
    none = polars.DataFrame({"step": [5000, 5010], "task": "a", "distance": [math.nan] * 2})
    both = polars.concat([none.with_columns(method=polars.lit("none")), curve.with_columns(method=polars.lit("one"))])
    empty, full = draw(figures.feature_distance(both))
    assert empty.get_ylim() == full.get_ylim()
    assert 2 < empty.get_ylim()[0] < 3
    assert empty.get_xlim() == full.get_xlim()


def test_the_lowest_panel_of_every_column_has_numbers():
    pairs = polars.DataFrame([{"step": 1, "first": a, "second": b, "cosine": 0.5} for a, b in combinations("abcde", 2)])
    axes = draw(figures.pairwise_cosines(pairs))
    numbered = [any(label.get_visible() for label in of.get_xticklabels()) for of in axes]
    assert [of.get_title(loc="left")[0] for of in axes] == list("abcde")
    assert numbered == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("every", "count", "said", "bands"),
    [
        (1, 50, "", ""),
        (10, 50, " (recorded every 10 steps)", ""),
        (1, 200, " (means of 5 recorded steps", "; bands: 10th to 90th percentile"),
        (10, 200, " (means of 5 recorded steps", "; bands: 10th to 90th percentile"),
    ],
)
def test_an_axis_of_steps_says_what_a_point_is(every, count, said, bands):
    number = dict.fromkeys(("norm", "weighted_norm", "cosine_with_update", "share", "distance"), 0.5)
    frame = polars.DataFrame([{"step": every * step, "task": task} | number for step in range(count) for task in "ab"])
    close = ")" if bands else ""
    for name in ("gradient_norms", "cosines_with_update", "probe_overview", "feature_distance"):
        assert getattr(figures, name)(frame).get_supxlabel() == f"training step{said}{bands}{close}"
    assert figures.update_share(frame).get_supxlabel() == f"training step{said}{close}"
    points = block_means(frame, "norm", ["task"]).filter(task="a")
    assert len(points) == (50 if count == 50 else 40)


def test_a_probe_draws_itself(probe, line):
    norms, weighted, cosines, share = draw(probe.plot())
    frame = by_task(probe.recorded()).filter(task="edge")
    means = block_means(frame, "norm", ["task"], 3)["mean"]
    assert line(norms, "edge")[1] == pytest.approx(means.to_numpy())
    assert norms.get_ylim() == weighted.get_ylim()
    assert 3**-0.5 in [one.get_ydata()[0] for one in cosines.get_lines()]
    assert areas(share) == pytest.approx(1, abs=1e-4)


def test_awkward_records_break_no_figure(awkward):
    for draws in ("gradient_norms", "cosines_with_update", "update_share", "probe_overview"):
        draw(getattr(figures, draws)(awkward))
        draw(getattr(figures, draws)(awkward.with_columns(method=polars.lit("uniform"))))
    draw(figures.feature_distance(awkward.rename({"norm": "distance"})))


@pytest.mark.parametrize("steps", [0, 1])
def test_few_steps_break_no_figure(probe, steps):
    recorded = probe.recorded().head(steps)
    draw(figures.pairwise_cosines(by_pair(recorded)))
    draw(figures.pairwise_dots(by_pair(recorded)))
    draw(figures.gradient_matrix(by_step(recorded), by_pair(recorded)))
    draw(figures.mean_cosine(by_step(recorded)))


def test_a_task_that_is_absent_for_a_while_leaves_a_gap(line):
    frame = polars.DataFrame({"step": [1, 2, 3, 1, 3], "task": list("aaabb"), "distance": [1.0, 1, 1, 2, 3]})
    (axes,) = draw(figures.feature_distance(frame))
    assert line(axes, "b")[1] == pytest.approx([2, math.nan, 3], nan_ok=True)


def test_a_block_has_steps():
    with pytest.raises(ValueError, match="block = 0"):
        block_means(polars.DataFrame({"step": [1], "task": ["a"], "norm": [1.0]}), "norm", ["task"], 0)


@pytest.mark.parametrize("count", [2, 5])
def test_methods_go_on_below_with_one_scale_and_one_legend(probe, count):
    frame = polars.concat([probe.to_frame().with_columns(method=polars.lit(f"method {n}")) for n in range(count)])
    figure = figures.cosines_with_update(frame, block=50)
    figure.canvas.draw()
    titled = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in titled] == [f"method {n}" for n in range(count)]
    assert len(figure.axes) == 2 * count
    assert len({axes.get_ylim() for axes in titled}) == 1
    assert len({axes.get_subplotspec().colspan.start for axes in titled}) == min(count, 4)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:3] == ["seg", "depth", "edge"]
    assert len(set(names)) == len(names) == 7
