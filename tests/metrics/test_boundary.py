import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat

from equipoise.metrics import best_counts, boundary_counts, boundary_scores
from equipoise.metrics.boundary_matching import PixelMatcher, matching_sizes
from equipoise.metrics.ods_f import f1_score, precision_recall
from equipoise.metrics.thinning import suppress_non_maxima


def best_matching(predicted: np.ndarray, annotated: np.ndarray, reach: float) -> tuple[int, float]:
    """Size, and total distance in hundredths, of the best matching, by trying all."""
    best = (0, 0.0)
    few, many = sorted((predicted.tolist(), annotated.tolist()), key=len)
    for partners in itertools.permutations([*many, *[None] * len(few)], len(few)):
        distances = [math.dist(a, b) for a, b in zip(few, partners, strict=True) if b is not None]
        if all(distance <= reach for distance in distances):
            best = min(best, (-len(distances), sum(round(100 * distance) for distance in distances)))
    return -best[0], best[1]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    predicted=st.integers(1, 4),
    annotated=st.integers(1, 4),
    reach=st.sampled_from([1.0, 1.5, 3.2]),
)
def test_matching_is_the_best_of_all(seed: int, predicted: int, annotated: int, reach: float) -> None:
    generator = np.random.default_rng(seed)
    cells = np.argwhere(np.ones((4, 4)))
    a, b = (cells[generator.choice(16, size, replace=False)] for size in (predicted, annotated))
    matched_a, matched_b = PixelMatcher(a, b, reach).match(np.ones(predicted, dtype=bool))
    size, cost = best_matching(a, b, reach)
    assert matched_a.sum() == matched_b.sum() == size
    # What was chosen must admit a matching of that size and of the least cost.
    assert best_matching(a[matched_a], b[matched_b], reach) == (size, cost)


def sizes_one_by_one(predicted: np.ndarray, annotated: np.ndarray, subsets: np.ndarray, reach: float) -> list[int]:
    """Sizes of the matchings of least cost, each solved on its own."""
    matcher = PixelMatcher(predicted, annotated, reach)
    return [int(matcher.match(subset)[0].sum()) for subset in subsets]


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 10_000),
    density=st.sampled_from([0.02, 0.1, 0.3]),
    reach=st.sampled_from([1.0, 2.5, 4.3]),
    nested=st.booleans(),
)
def test_sizes_are_those_of_the_best_matchings(seed: int, density: float, reach: float, nested: bool) -> None:
    generator = np.random.default_rng(seed)
    predicted = np.argwhere(generator.random((24, 30)) < density)
    annotated = np.argwhere(generator.random((24, 30)) < 0.1)
    # Ascending thresholds on one random strength for each pixel, with pixels that come and go as thinning has it; or
    # sets that have nothing in common.
    strength = generator.random(len(predicted)) + (0.05 if nested else 2) * generator.random((12, len(predicted)))
    subsets = strength > (np.linspace(0, 1.1, 12) if nested else generator.uniform(0.5, 2.5, 12))[:, None]
    sizes = matching_sizes(predicted, annotated, subsets, reach)
    assert sizes.tolist() == sizes_one_by_one(predicted, annotated, subsets, reach)


@pytest.mark.parametrize("transposed", [False, True])
def test_one_more_match_is_worth_moving_all_others(transposed: bool) -> None:
    # Every pixel is nearest to the wrong neighbour, and all must change for the last two to be matched.
    left = np.stack([np.zeros(300, dtype=int), 3 * np.arange(300)], axis=1)
    right = left + np.array([0, 2])
    predicted, annotated = (right, left) if transposed else (left, right)
    everything = np.ones((1, 300), dtype=bool)
    assert matching_sizes(predicted, annotated, everything, max_distance=2).tolist() == [300]
    assert sizes_one_by_one(predicted, annotated, everything, reach=2) == [300]


def test_sizes_on_real_edge_maps(shared_data: Path) -> None:
    bench = shared_data / "data" / "bsds500" / "bench"
    thresholds = np.linspace(1 / 10, 9 / 10, 9)
    total = 0
    for file in sorted((bench / "groundTruth").glob("*.mat")):
        edges = np.asarray(Image.open(bench / "png" / f"{file.stem}.png")) / 255
        predicted = np.argwhere(edges >= thresholds[0])
        subsets = edges[tuple(predicted.T)] >= thresholds[:, None]
        for annotator in loadmat(file)["groundTruth"][0][:2]:
            annotated = np.argwhere(annotator["Boundaries"][0, 0])
            sizes = matching_sizes(predicted, annotated, subsets, max_distance=6.4)
            assert sizes.tolist() == sizes_one_by_one(predicted, annotated, subsets, reach=6.4)
            total += sizes.sum()
    assert total > 10_000


def test_a_pixel_is_matched_once() -> None:
    truth = np.zeros((20, 20), dtype=bool)
    truth[10, 4:16] = True
    double = np.zeros((20, 20))
    double[[8, 12], 4:16] = 1
    counts = boundary_counts(double, [truth], np.array([0.5]), max_distance=0.1)
    assert counts[:, 0].tolist() == [12, 24, 12, 12]


def test_reach_is_a_fraction_of_the_diagonal() -> None:
    truth, shifted = np.zeros((30, 40), dtype=bool), np.zeros((30, 40))
    truth[10, 5:35], shifted[13, 5:35] = True, 1
    for max_distance, right in ((3 / 50, 30), (2.9 / 50, 0)):
        assert boundary_counts(shifted, [truth], np.array([0.5]), max_distance)[0, 0] == right


def test_annotators_share_precision_and_add_up_in_recall() -> None:
    first, second = np.zeros((20, 20), dtype=bool), np.zeros((20, 20), dtype=bool)
    first[4, 2:18], second[4, 2:18], second[14, 2:18] = True, True, True
    counts = boundary_counts(second.astype(float), [first, second], np.array([0.5]), max_distance=0.05)
    assert counts[:, 0].tolist() == [32, 32, 48, 48]


def test_empty_maps() -> None:
    nothing, line = np.zeros((9, 9)), np.zeros((9, 9), dtype=bool)
    line[4] = True
    thresholds = np.array([0.3, 0.6])
    assert boundary_counts(nothing, [line], thresholds, 0.05).tolist() == [[0, 0], [0, 0], [0, 0], [9, 9]]
    assert boundary_counts(0.5 * line, [nothing > 0], thresholds, 0.05).tolist() == [[0, 0], [9, 0], [0, 0], [0, 0]]
    counts = boundary_counts(nothing, [nothing > 0], thresholds, 0.05)
    assert boundary_scores(counts, best_counts(counts), thresholds).ods_f == 0


def test_scores_of_a_hand_solved_case() -> None:
    # Precision 0.5 then 1, recall 1 then 0.5: F is 2/3 at both thresholds, and 0.75 half way, where both are 0.75.
    counts = np.array([[50, 50], [100, 50], [100, 50], [100, 100]])
    scores = boundary_scores(counts, np.array([30, 40, 30, 50]), np.array([0.2, 0.6]))
    assert scores.ods_f == pytest.approx(0.75, abs=1e-4)
    assert scores.ods_threshold == pytest.approx(0.4, abs=0.4 / 99)
    assert scores.ods_precision == pytest.approx(0.75, abs=0.5 / 99)
    assert scores.ois_f == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    # From recall 0.5 to 1 precision falls from 1 to 0.5 in 51 steps of 0.01; below 0.5 nothing was reached.
    assert scores.ap == pytest.approx(51 * 0.75 / 100)


def test_a_prediction_equal_to_a_threshold_is_an_edge() -> None:
    line = np.zeros((9, 9), dtype=bool)
    line[4] = True
    counts = boundary_counts(0.5 * line, [line], np.array([0.25, 0.5, 0.75]), max_distance=0.05)
    assert counts[1].tolist() == [9, 9, 0]


def test_of_tied_thresholds_the_lowest_is_the_best() -> None:
    # Precision 0.5 and recall 1, then the other way round: F is 2/3 at both, and less at the last threshold.
    counts = np.array([[50, 50, 10], [100, 50, 10], [100, 50, 10], [100, 100, 100]])
    assert best_counts(counts).tolist() == [50, 100, 100, 100]
    # Equal counts at all thresholds: F is the same everywhere.
    same = np.tile(np.array([[40], [50], [40], [80]]), 3)
    scores = boundary_scores(same, best_counts(same), np.array([0.2, 0.4, 0.6]))
    assert scores.ods_threshold == 0.2
    assert scores.ods_f == pytest.approx(2 * 0.8 * 0.5 / 1.3)


def test_one_threshold() -> None:
    counts = np.array([[8], [10], [6], [12]])
    scores = boundary_scores(counts, best_counts(counts), np.array([0.5]))
    assert (scores.ods_f, scores.ods_threshold, scores.ap) == (pytest.approx(2 * 0.8 * 0.5 / 1.3), 0.5, 0)


def test_suppression_keeps_the_ridge() -> None:
    ridge = np.exp(-(((np.arange(40) - 20.0) / 3) ** 2))
    blurred = np.tile(ridge, (40, 1))
    for edges in (blurred, blurred.T):
        kept = suppress_non_maxima(edges) > 0.5
        assert np.array_equal(kept[6:-6, 6:-6], (edges == 1)[6:-6, 6:-6])
    diagonal = np.exp(-(((np.add.outer(np.arange(40), np.arange(40)) - 40.0) / 4) ** 2))
    kept = suppress_non_maxima(diagonal) > 0.5
    assert np.array_equal(kept[8:-8, 8:-8], (diagonal == 1)[8:-8, 8:-8])


@pytest.mark.parametrize(("weaker", "kept"), [(1.0, [19, 20]), (0.995, [19, 20]), (0.98, [20])])
def test_suppression_tolerates_neighbours_that_are_hardly_stronger(weaker: float, kept: list[int]) -> None:
    # A ridge of two pixels, one a little weaker than the other.
    profile = np.exp(-(((np.arange(40) - 19.5) / 3) ** 2))
    profile[19:21] = weaker, 1.0
    suppressed = suppress_non_maxima(np.tile(profile, (40, 1)))
    assert np.flatnonzero(suppressed[20]).tolist() == kept


def test_suppression_fades_towards_the_border() -> None:
    edges = np.zeros((20, 20))
    edges[:, 10] = 1
    assert suppress_non_maxima(edges)[:, 10].tolist() == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, *[1] * 10, 0.8, 0.6, 0.4, 0.2, 0]
    )


def test_reproduces_the_bsds_self_test(shared_data: Path) -> None:
    bench = shared_data / "data" / "bsds500" / "bench"
    thresholds = np.linspace(1 / 6, 5 / 6, 5)
    counts = []
    for file in sorted((bench / "groundTruth").glob("*.mat")):
        annotations = [annotator["Boundaries"][0, 0] > 0 for annotator in loadmat(file)["groundTruth"][0]]
        edges = np.asarray(Image.open(bench / "png" / f"{file.stem}.png")) / 255
        counts.append(boundary_counts(edges, annotations, thresholds, max_distance=0.0075))
    assert len(counts) == 5

    total = np.sum(counts, axis=0)
    overall = boundary_scores(total, np.sum([best_counts(image) for image in counts], axis=0), thresholds)
    threshold, recall, precision, f, _, _, ois_f, ap = np.loadtxt(bench / "test_2" / "eval_bdry.txt")
    assert overall.ods_threshold == pytest.approx(threshold, abs=1e-6)
    assert overall.ods_recall == pytest.approx(recall, abs=5e-4)
    assert overall.ods_precision == pytest.approx(precision, abs=5e-4)
    assert overall.ods_f == pytest.approx(f, abs=2e-4)
    assert overall.ois_f == pytest.approx(ois_f, abs=2e-4)
    assert overall.ap == pytest.approx(ap, abs=2e-4)

    precision, recall = precision_recall(total)
    table = np.stack([thresholds, recall, precision, f1_score(precision, recall)], axis=1)
    # The original loses a few matches at random, so its recall lies just below the optimum and never above.
    np.testing.assert_allclose(table, np.loadtxt(bench / "test_2" / "eval_bdry_thr.txt"), atol=6e-4)
    assert (table[:, 1] >= np.loadtxt(bench / "test_2" / "eval_bdry_thr.txt")[:, 1] - 1e-6).all()
    for image, row in zip(counts, np.loadtxt(bench / "test_2" / "eval_bdry_img.txt"), strict=True):
        scores = boundary_scores(image, best_counts(image), thresholds)
        mine = scores.ods_threshold, scores.ods_recall, scores.ods_precision, scores.ods_f
        np.testing.assert_allclose(mine, row[1:], atol=1.2e-3)
        assert scores.ods_f == pytest.approx(row[4], abs=6e-4)
