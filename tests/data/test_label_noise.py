"""Labels that are wrong on purpose."""

from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from equipoise import data
from equipoise.data.inspection.sheet import LINE, MARGIN
from equipoise.tasks import Task
from equipoise.tasks.depth import Depth
from equipoise.tasks.disparity import Disparity
from equipoise.tasks.edges import Edges
from equipoise.tasks.instance_offsets import InstanceOffsets
from equipoise.tasks.semantic_segmentation import Parts, SemanticSegmentation
from equipoise.tasks.surface_normals import SurfaceNormals

SEG = SemanticSegmentation(name="seg", classes=tuple("abcdefgh"))
SIDE = 40
seeds = st.integers(0, 2**32)


def plane(seed: int, classes: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (SIDE, SIDE), generator=generator)
    return labels.masked_fill(torch.rand(SIDE, SIDE, generator=generator) < 0.2, 255)


def values(seed: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.rand(channels, SIDE, SIDE, generator=generator) * 3 + 0.001
    return found.masked_fill(torch.rand(1, SIDE, SIDE, generator=generator) < 0.2, 0)


@given(seed=seeds, classes=st.integers(1, 8), strength=st.sampled_from([0.1, 0.5, 1.0]))
@settings(deadline=None, max_examples=40)
def test_five_classes_lose_a_share_of_their_pixels(seed: int, classes: int, strength: float) -> None:
    right = plane(seed, classes)
    wrong = data.LabelNoise(seed=seed, strength={"seg": strength})(right, SEG, "a")
    assert SEG.faults(wrong) == []
    assert torch.equal(wrong == 255, right == 255)
    changed = wrong != right
    hit = 0
    for label in range(classes):
        count, lost = int((right == label).sum()), int(changed[right == label].sum())
        assert lost in (0, round(strength * count))
        hit += lost > 0
    assert hit == min(5, classes)


@given(seed=seeds)
@settings(deadline=None, max_examples=10)
def test_wrong_classes_are_all_the_others_alike(seed: int) -> None:
    right = torch.full((SIDE, SIDE), 3)
    wrong = data.LabelNoise(seed=seed)(right, SEG, "a")
    counts = torch.bincount(wrong.flatten(), minlength=8)
    assert counts[3] == SIDE * SIDE / 2
    others = counts[torch.arange(8) != 3]
    # 800 pixels over seven classes: 114 each, with a deviation of 10.
    assert others.min() > 60
    assert others.max() < 170


@given(seed=seeds, sigma=st.sampled_from([0.05, 0.5, 5.0]))
@settings(deadline=None, max_examples=25)
def test_distances_stay_positive_and_holes_stay_holes(seed: int, sigma: float) -> None:
    for task in (Depth(name="value"), Disparity(name="value")):
        right = values(seed, 1)
        wrong = data.LabelNoise(seed=seed, strength={"value": sigma})(right, task, "a")
        assert torch.equal(task.valid(wrong), task.valid(right))
        assert (wrong[~task.valid(right)] == 0).all()
        assert task.faults(wrong) == []


@pytest.mark.parametrize("task", [Depth(name="value"), Disparity(name="value")], ids=["depth", "disparity"])
def test_noise_has_the_deviation_asked_for(task: Task) -> None:
    right = torch.full((1, 300, 300), 50.0)
    error = data.LabelNoise(strength={"value": 0.25})(right, task, "a") - right
    assert error.std().item() == pytest.approx(0.25, rel=0.02)
    assert error.mean().item() == pytest.approx(0, abs=0.005)


def test_holes_stored_as_nan_stay_so() -> None:
    wrong = data.LabelNoise()(torch.tensor([[[2.0, float("nan")]]]), Depth(name="depth"), "a")
    assert wrong.isfinite().tolist() == [[[True, False]]]


@given(seed=seeds, sigma=st.sampled_from([0.05, 0.5, 5.0]))
@settings(deadline=None, max_examples=25)
def test_normals_stay_unit_vectors(seed: int, sigma: float) -> None:
    task = SurfaceNormals(name="normals")
    right = functional.normalize(values(seed, 3) - 1.5 * (values(seed, 3) != 0), dim=0)
    wrong = data.LabelNoise(seed=seed, strength={"normals": sigma})(right, task, "a")
    assert torch.equal(task.valid(wrong), task.valid(right))
    length = wrong.norm(dim=0)
    torch.testing.assert_close(length, task.valid(right)[0].float())
    assert not torch.equal(wrong, right)


@given(seed=seeds, share=st.sampled_from([0.02, 0.3, 0.9]))
@settings(deadline=None, max_examples=25)
def test_as_many_edges_are_elsewhere(seed: int, share: float) -> None:
    task = Edges(name="edge")
    generator = torch.Generator().manual_seed(seed)
    right = (torch.rand(1, SIDE, SIDE, generator=generator) < share).float()
    right[0, :3] = 255
    wrong = data.LabelNoise(seed=seed)(right, task, "a")
    assert torch.equal(wrong == 255, right == 255)
    count, others = int((right == 1).sum()), int((right == 0).sum())
    assert (wrong == 1).sum() == count
    assert ((right == 1) & (wrong == 0)).sum() == min(round(count / 2), others)


@given(seed=seeds)
@settings(deadline=None, max_examples=20)
def test_noise_depends_on_seed_sample_and_task_alone(seed: int) -> None:
    right = plane(seed)
    assume(len(right.unique()) > 2)
    noise = data.LabelNoise(seed=seed)
    first = noise(right, SEG, "a")
    assert torch.equal(noise(right.clone(), SEG, "a"), first)
    assert not torch.equal(noise(right, SEG, "b"), first)
    assert not torch.equal(data.LabelNoise(seed=seed + 1)(right, SEG, "a"), first)
    other = SemanticSegmentation(name="other", classes=SEG.classes)
    assert not torch.equal(noise(right, other, "a"), first)
    assert torch.equal(right, plane(seed))


def test_noise_is_the_same_on_every_machine() -> None:
    # Computed once: neither Python's salted hashes nor anything else of the process may change it.
    wrong = data.LabelNoise(seed=3)(torch.full((1, 1, 2), 5.0), Depth(name="depth"), "room/001")
    torch.testing.assert_close(wrong, torch.tensor([[[5.342454433441162, 3.83996844291687]]]))


def test_an_image_without_parts_gets_none() -> None:
    background = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    task = Parts(name="parts", classes=("background", "head"))
    assert torch.equal(data.LabelNoise()(background, task, "a"), background)


def test_one_class_alone_cannot_be_wrong() -> None:
    right = torch.zeros(3, 3, dtype=torch.int64)
    assert torch.equal(data.LabelNoise()(right, SemanticSegmentation(name="seg", classes=("all",)), "a"), right)


def test_training_labels_alone_are_wrong(generated_rooms: Path) -> None:
    noise = data.LabelNoise(strength={"edge": 0, "saliency": 0, "parts": 0})
    for split in ("train", "val", "test"):
        right = data.create("rooms", root=generated_rooms, split=split)
        wrong = data.create("rooms", root=generated_rooms, split=split, corrupt=noise)
        differing = {name for name in right[0] if not torch.equal(right[0][name], wrong[0][name])}
        assert differing == ({"seg", "depth", "normals"} if split == "train" else set())


def test_noise_comes_before_augmentation_and_is_the_same_in_every_epoch_and_worker(generated_rooms: Path) -> None:
    noise = data.LabelNoise(seed=1)
    options = {"root": generated_rooms, "tasks": ["seg", "normals"], "corrupt": noise}
    plain = data.create("rooms", **options)  # type: ignore[arg-type]
    mirrored = data.create("rooms", transform=data.transforms.RandomHorizontalFlip(1.0), **options)  # type: ignore[arg-type]
    alone = data.create("rooms", root=generated_rooms, tasks=["normals"], corrupt=noise)
    for index in range(len(plain)):
        assert torch.equal(plain[index]["seg"], mirrored[index]["seg"].flip(-1))
        assert torch.equal(plain[index]["normals"], plain[index]["normals"])
        assert torch.equal(plain[index]["normals"], alone[index]["normals"])
    loader = DataLoader(plain, batch_size=3, num_workers=1, collate_fn=plain.collate())
    batches = torch.cat([batch["seg"] for batch in loader])
    assert torch.equal(batches, torch.stack([plain[index]["seg"] for index in range(len(plain))]))


@pytest.mark.parametrize(
    ("strength", "words"),
    [
        ({"depht": 1.0}, r"`corrupt.strength` should be one of .* Did you mean `depth`"),
        ({"depth": -1.0}, "`strength` should be 0 or more. Found `strength = -1.0` for 'depth'"),
        ({"depth": float("nan")}, "`strength` should be 0 or more"),
    ],
)
def test_wrong_strengths_are_named(generated_rooms: Path, strength: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data.create("rooms", root=generated_rooms, corrupt=data.LabelNoise(strength=strength))


def test_a_task_without_a_rule_is_named() -> None:
    task = InstanceOffsets(name="instance")
    with pytest.raises(ValueError, match=r"no rule for 'instance'.*`corrupt.strength.instance = 0`"):
        data.LabelNoise().check({"instance": task}, {"instance": task})
    data.LabelNoise(strength={"instance": 0}).check({"instance": task}, {"instance": task})
    with pytest.raises(ValueError, match="no rule of corruption"):
        task.corrupt(torch.zeros(1, 2, 2), 0.5, torch.Generator())


def test_sheet_shows_right_beside_wrong(generated_rooms: Path) -> None:
    right = data.create("rooms", root=generated_rooms, tasks=["seg", "depth"])
    wrong = data.create("rooms", root=generated_rooms, tasks=["seg", "depth"], corrupt=data.LabelNoise())
    sheet = data.label_noise_sheet(right, wrong, 2)
    plain = data.contact_sheet(right, 2)
    # Enlarged four times.
    step = 4 * 32 + MARGIN
    assert sheet.width == plain.width + 2 * step
    assert sheet.height == plain.height

    def column(picture, number: int) -> bytes:  # type: ignore[no-untyped-def]
        left = MARGIN + number * step
        return picture.crop((left, 2 * LINE + MARGIN, left + 4 * 32, picture.height)).tobytes()

    assert [column(sheet, number) for number in (0, 1, 3)] == [column(plain, number) for number in (0, 1, 2)]
    assert column(sheet, 2) != column(sheet, 1)
    assert column(sheet, 4) != column(sheet, 3)
    with pytest.raises(ValueError, match="split 'train' alone"):
        data.label_noise_sheet(right, right, 2)
