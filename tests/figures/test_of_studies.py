import math

import numpy as np
import polars
import pytest

from equipoise import figures

METRICS = ("seg.miou", "depth.rmse", "edge.odsf")


def changes(**methods):
    return polars.DataFrame(
        [
            {"variant": None, "method": method, "metric": metric, "value": 10 + change, "change": change}
            for method, of in methods.items()
            for metric, change in zip(METRICS, of, strict=True)
        ],
        schema={"variant": polars.String, "method": polars.String, "metric": polars.String}
        | {"value": polars.Float64, "change": polars.Float64},
    )


def test_a_radar_has_outlines_and_delta_m():
    figure = figures.radar(changes(uniform=(-3.0, 0.0, -9.0), avgnorm=(1.0, 2.0, 3.0), broken=(1.0, math.nan, 1.0)))
    figure.canvas.draw()
    (axes,) = figure.axes
    outlines = [line.get_ydata() for line in axes.get_lines()]
    assert outlines[0].tolist() == [-3, 0, -9, -3]
    assert outlines[1].tolist() == [1, 2, 3, 1]
    assert set(outlines[2]) == {0}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "uniform  -4.00 %", "avgnorm  +2.00 %", "single-task",
    ]  # fmt: skip
    assert "seg miou\n7 to 11" in [text.get_text() for text in axes.get_xticklabels()]


def test_the_bars_of_many_methods_go_on_below_on_one_scale():
    many = changes(**{f"method {number}": (number, -1.0, 0.0) for number in range(13)})
    figure = figures.relative_change(many)
    figure.canvas.draw()
    assert [len(axes.get_xticks()) for axes in figure.axes] == [7, 6]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_equal_shares_are_those_of_the_tasks_of_a_bar():
    rows = [("two", "a", 0.3), ("two", "b", 0.7), ("three", "a", 0.2), ("three", "b", 0.2), ("three", "c", 0.6)]
    frame = polars.DataFrame(rows, schema=["weighting", "task", "share"], orient="row")
    (axes,) = figures.share_under_weights(frame).axes
    dashes = [line for lines in axes.collections for line in lines.get_segments()]
    assert [line[:, 1].mean() for line in dashes] == [0, 1, 1]
    assert [line[0, 0] for line in dashes] == pytest.approx([1 / 2, 1 / 3, 2 / 3])


def test_many_methods_have_a_panel_each_before_the_others():
    one = weights((1, 3), (1, 1))
    many = polars.concat([one.with_columns(method=polars.lit(f"method {number}")) for number in range(7)])
    figure = figures.weight_error(many)
    figure.canvas.draw()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"method {number}" for number in range(7)]
    assert {len(axes.collections[0].get_segments()) for axes in figure.axes} == {7}
    assert {axes.get_lines()[0].get_ydata()[0] for axes in figure.axes} == {0.25}
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_radar_of_few_tasks_breaks_nothing(count):
    figures.radar(changes(uniform=(1.0, 2.0, 3.0)).head(count)).canvas.draw()


def test_boxes_and_the_median_of_the_baseline():
    numbers = {"uniform": [1.0, 2, 3, 4, 10], "avgnorm": [5.0, 6], "failed": [None]}
    rows = [{"method": m, "seed": s, "value": v} for m, of in numbers.items() for s, v in enumerate(of)]
    figure = figures.box_plots(polars.DataFrame(rows), quantity="delta_m, %", baseline="uniform")
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [3]
    # A box from quartile to quartile; of two seeds from one to the other.
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(2, 2), (5, 1)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["uniform", "avgnorm", "failed"]
    assert "no run" in [text.get_text() for text in axes.texts]


def weights(*of):
    return polars.DataFrame(
        [
            {"epoch": epoch, "task": task, "weight": weight}
            for epoch, row in enumerate(of, 1)
            for task, weight in zip(("a", "b"), row, strict=True)
        ]
    )


def test_weights_are_shares_and_their_average_starts_at_the_first():
    figure = figures.weights_per_epoch(weights((1, 3), (3, 1), (1, 1)))
    figure.canvas.draw()
    (axes,) = figure.axes
    raw, smooth = axes.get_lines()[:2]
    assert raw.get_ydata().tolist() == [0.25, 0.75, 0.5]
    expected = [0.25, 0.9 * 0.25 + 0.1 * 0.75]
    expected.append(0.9 * expected[-1] + 0.1 * 0.5)
    assert smooth.get_ydata() == pytest.approx(expected)
    assert f"a {expected[-1]:.3f}" in [text.get_text() for text in axes.texts]


def test_the_error_of_weights_is_that_of_the_paper(line):
    frame = weights((1, 3), (1, 1))
    seeds = polars.concat([frame.with_columns(seed=0), weights((1, 1), (1, 1)).with_columns(seed=1)])
    for of, expected in ((frame, [0.25, 0]), (seeds, [0.125, 0])):
        figure = figures.weight_error(of)
        figure.canvas.draw()
        assert line(figure.axes[0], "weights")[1] == pytest.approx(expected)


def test_progression_and_how_far_ahead(line):
    rows = [("2 tasks", "uniform", 1.0), ("2 tasks", "imtl_g", 1.0), ("3 tasks", "uniform", -7.0)]
    rows += [("3 tasks", "imtl_g", 0.0), ("3 tasks", "imtl_g", -1.0)]
    frame = polars.DataFrame(rows, schema=["stage", "method", "value"], orient="row")
    figure = figures.progression(frame, quantity="delta_m, %", baseline="uniform")
    figure.canvas.draw()
    upper, lower = figure.axes
    assert line(upper, "imtl_g")[1].tolist() == [1, -0.5]
    assert [bar.get_height() for bar in lower.patches] == [0, 6.5]


def test_predictions_stand_below_their_labels():
    generator = np.random.default_rng(0)
    image, seg, depth, guess = generator.integers(0, 255, (4, 3, 6, 8), dtype=np.uint8)
    figure = figures.predictions(image, {"seg": seg, "depth": depth}, {"uniform": {"seg": guess}, "avgnorm": {}})
    figure.canvas.draw()
    grid = np.array(figure.axes).reshape(3, 3)
    shown = [[axes.images[0].get_array().data if axes.images else None for axes in row] for row in grid]
    assert np.array_equal(shown[0][0], image.transpose(1, 2, 0))
    assert np.array_equal(shown[0][2], depth.transpose(1, 2, 0))
    assert np.array_equal(shown[1][1], guess.transpose(1, 2, 0))
    assert shown[1][2] is shown[2][1] is None


@pytest.mark.parametrize("draws", ["weights_per_epoch", "weight_error"])
@pytest.mark.parametrize("epochs", [0, 1])
def test_few_epochs_break_nothing(draws, epochs):
    getattr(figures, draws)(weights((1.0, 2.0)).head(2 * epochs)).canvas.draw()
