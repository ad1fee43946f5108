from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from equipoise.metrics import MapError, MaxF, MaxMeanF

EIGHT_BITS = [level / 255 for level in range(256)]


@pytest.mark.slow
def test_the_official_toolbox_is_reproduced(shared_data: Path) -> None:
    """On the 300 images of SOD with the predictions of DSS, the public toolbox gives these numbers."""
    folder = shared_data / "data" / "sod_saliency"
    form_of_toolbox, error = MaxMeanF(beta_squared=0.3, thresholds=EIGHT_BITS), MapError()
    paths = sorted((folder / "gt").glob("*.png"))
    assert len(paths) == 300
    for path in paths:
        with Image.open(path) as picture:
            target = torch.from_numpy(np.array(picture) > 0).double()[None, None]
        with Image.open(folder / "pred_DSS" / path.name) as picture:
            prediction = torch.from_numpy(np.array(picture)).double()[None, None] / 255
        form_of_toolbox.update(prediction, target)
        error.update(prediction, target)
    assert form_of_toolbox.compute().item() / 100 == pytest.approx(0.843921787734, abs=1e-9)
    assert error.compute().item() == pytest.approx(0.121322387554, abs=1e-9)


def by_hand(prediction: np.ndarray, target: np.ndarray, thresholds: list[float], beta_squared: float) -> float:
    """The pooled form, one threshold after the other."""
    best = 0.0
    for threshold in thresholds:
        found, true = (prediction >= threshold) & (target != 255), target == 1
        hits = (found & true).sum()
        if hits:
            precision, recall = hits / found.sum(), hits / true.sum()
            best = max(best, (1 + beta_squared) * precision * recall / (beta_squared * precision + recall))
    return 100 * best


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 5), beta_squared=st.sampled_from([0.3, 1.0]))
def test_pooled_form_equals_counting_for_any_split_into_batches(seed: int, images: int, beta_squared: float) -> None:
    generator = np.random.default_rng(seed)
    # Multiples of 0.05 meet the thresholds exactly.
    prediction = (generator.integers(21, size=(images, 1, 3, 4)) / 20).astype(np.float32)
    target = generator.choice([0.0, 1.0, 255.0], size=prediction.shape)
    target[0, 0, 0, 0] = 1
    whole, single = MaxF(beta_squared), MaxF(beta_squared)
    whole.update(torch.from_numpy(prediction), torch.from_numpy(target))
    for k in range(images):
        single.update(torch.from_numpy(prediction[[k]]), torch.from_numpy(target[[k]]))
    expected = by_hand(prediction, target, [np.float32(k / 20) for k in range(1, 20)], beta_squared)
    assert whole.compute().item() == pytest.approx(expected)
    assert single.compute().item() == whole.compute().item()


@pytest.mark.parametrize("kind", [MaxF, MaxMeanF])
def test_a_prediction_equal_to_a_threshold_is_predicted(kind: type[MaxF] | type[MaxMeanF]) -> None:
    metric = kind(beta_squared=1.0, thresholds=[0.5])
    metric.update(torch.tensor([[0.5, 0.5, 0.49, 0.0]]), torch.tensor([[1.0, 1.0, 1.0, 0.0]]))
    # Both pixels at the threshold are found: precision 1, recall 2/3.
    assert metric.compute().item() == pytest.approx(80)


def test_averages_over_images_do_not_depend_on_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction, target = (
        torch.rand(5, 1, 4, 4, generator=generator),
        torch.rand(5, 1, 4, 4, generator=generator).round(),
    )
    whole, parts = MaxMeanF(), MaxMeanF()
    whole.update(prediction, target)
    for batch in zip(prediction.split([1, 4]), target.split([1, 4]), strict=True):
        parts.update(*batch)
    assert parts.compute().item() == pytest.approx(whole.compute().item())


def test_the_two_forms_differ_where_images_do() -> None:
    # The first image finds its one pixel, the second one of four.
    prediction = torch.tensor([[0.9, 0, 0, 0], [0.9, 0, 0, 0]])
    target = torch.tensor([[1.0, 0, 0, 0], [1.0, 1, 1, 1]])
    pooled, averaged = MaxF(beta_squared=1.0), MaxMeanF(beta_squared=1.0)
    for metric in (pooled, averaged):
        metric.update(prediction, target)
    assert pooled.compute().item() == pytest.approx(100 * 2 * 0.4 / 1.4)
    assert averaged.compute().item() == pytest.approx(100 * 2 * 0.625 / 1.625)


def test_an_image_without_a_salient_pixel() -> None:
    prediction, nothing = torch.tensor([[0.9, 0.1]]), torch.zeros(1, 2)
    pooled, averaged = MaxF(), MaxMeanF()
    for metric in (pooled, averaged):
        metric.update(prediction, nothing)
        assert metric.compute().isnan()
        metric.update(prediction, torch.tensor([[1.0, 0.0]]))
    # What is found in the empty image costs precision where pixels are pooled, and nothing where images are averaged.
    assert pooled.compute().item() == pytest.approx(100 * 1.3 * 0.5 / (0.3 * 0.5 + 1))
    assert averaged.compute().item() == pytest.approx(100)


def test_no_label_at_all_is_nan() -> None:
    for metric in (MaxF(), MaxMeanF(), MapError()):
        metric.update(torch.rand(2, 1, 3, 3), torch.full((2, 1, 3, 3), 255.0))
        assert metric.compute().isnan()


def test_predictions_that_are_no_numbers_are_never_right() -> None:
    metric = MaxF()
    metric.update(torch.tensor([[torch.nan, 0.9]]), torch.tensor([[1.0, 1.0]]))
    assert metric.compute().item() == pytest.approx(100 * 1.3 * 0.5 / (0.3 + 0.5))
    error = MapError()
    error.update(torch.tensor([[torch.nan, 0.9]]), torch.tensor([[1.0, 1.0]]))
    assert error.compute().isnan()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"beta_squared": 0}, "beta_squared = 0"),
        ({"thresholds": 0}, "thresholds = 0"),
        ({"thresholds": [0.5, 0.5]}, "should ascend"),
        ({"thresholds": [0.5, 1.5]}, "should ascend"),
        ({"thresholds": []}, "should ascend"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], words: str) -> None:
    for kind in (MaxF, MaxMeanF):
        with pytest.raises(ValueError, match=words):
            kind(**arguments)  # type: ignore[arg-type]


def test_shapes_must_agree() -> None:
    for metric in (MaxF(), MaxMeanF(), MapError()):
        with pytest.raises(ValueError, match=r"Found `prediction.shape = \(1, 1, 2, 2\)`"):
            metric.update(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2))
