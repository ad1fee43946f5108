import polars
import pytest
import torch
from torch import nn

from equipoise.diagnosis import FeatureDistance, read_distances


def batches(count, channels=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 2, channels, 5, 4, generator=generator)


def mixed(channels):
    """A map that mixes channels, as another network would have them in another order."""
    layer = nn.Conv2d(channels, channels, 1, bias=False)
    with torch.no_grad():
        nn.init.orthogonal_(layer.weight, generator=torch.Generator().manual_seed(2))
    return layer


def last(distance, task):
    return distance.to_frame().filter(polars.col("task") == task)["distance"].to_list()[-1]


def test_it_tells_features_that_agree_from_those_that_do_not():
    other, distance = mixed(6), FeatureDistance(every=1)
    unrelated = batches(300).flip(0)
    for features, noise in zip(batches(300), unrelated, strict=True):
        half = torch.cat([features[:, :3], noise[:, 3:]], 1)
        own = {"same": 3 * other(features), "half": other(half), "unrelated": noise}
        distance.observe([features], lambda own=own: own)
    assert last(distance, "same") < 0.05
    assert 0.4 < last(distance, "half") < 0.8
    assert last(distance, "unrelated") == pytest.approx(2, abs=0.25)


def test_a_few_batches_serve_as_well_as_all():
    """As many updates on every tenth batch as on all of them, and nearly the same distance."""
    found, other = [], mixed(6)
    for every in (1, 10):
        distance = FeatureDistance(every=every)
        for features in batches(200):
            distance.observe(features, lambda features=features: {"a": other(features).relu()})
        found.append(distance.to_frame()["distance"].tail(20 // every).mean())
    assert found[1] == pytest.approx(found[0], rel=0.2)


def test_a_batch_is_new_to_the_adaptors_that_it_is_measured_with():
    first = []
    for every in (1, 10):
        distance = FeatureDistance(every=every)
        distance.observe(batches(1)[0], lambda: {"a": mixed(6)(batches(1)[0])})
        first.append(distance.to_frame()["distance"].item())
    # However many updates the batch leads to.
    assert first[0] == first[1]


def test_levels_sizes_and_vectors():
    distance = FeatureDistance(every=1)
    fine, coarse = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)
    distance.observe([fine, coarse], lambda: {"a": torch.randn(2, 7, 4, 4)})
    distance.observe([fine, coarse], lambda: {"a": torch.randn(2, 7, 4, 4).bfloat16()})
    assert distance.to_frame()["distance"].is_between(0, 4).all()
    vectors = FeatureDistance(every=1)
    vectors.observe(torch.randn(2, 3), lambda: {"a": torch.randn(2, 4)})
    assert vectors.to_frame().shape == (1, 3)
    with pytest.raises(ValueError, match=r"\[B, C, H, W\].*\[2, 3, 4\]"):
        vectors.observe(torch.randn(2, 3, 4), dict)
    with pytest.raises(ValueError, match=r"`every`.*Found `every = 0`"):
        FeatureDistance(every=0)


def test_networks_and_random_numbers_do_not_notice():
    encoder = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    own, images, found = nn.Conv2d(6, 4, 1), batches(1)[0], []
    before = torch.get_rng_state()
    for watched in (False, True):
        torch.set_rng_state(before)
        encoder.zero_grad()
        features = encoder(images)
        if watched:
            FeatureDistance(every=1).observe(features, lambda: {"a": own(images)})
        (features * torch.rand_like(features)).sum().backward()
        found.append([parameter.grad.clone() for parameter in encoder.parameters()])
    assert all(torch.equal(plain, with_it) for plain, with_it in zip(*found, strict=True))
    assert all(parameter.grad is None for parameter in own.parameters())


def test_a_broken_batch_does_not_break_those_that_follow():
    distance, good = FeatureDistance(every=1), batches(2)
    for features in (good[0], good[0] * float("nan"), good[1]):
        distance.observe(features, lambda: {"a": torch.ones(2, 3, 5, 4)})
    finite = distance.to_frame()["distance"].is_finite().to_list()
    assert finite == [True, False, True]


def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path):
    def run(distance, features):
        for batch in features:
            distance.observe(batch, lambda batch=batch: {"a": mixed(6)(batch).relu()})

    whole = FeatureDistance(every=2, path=tmp_path / "whole.parquet")
    run(whole, batches(9))
    whole.flush()
    killed = FeatureDistance(every=2, path=tmp_path / "killed.parquet")
    run(killed, batches(9)[:5])
    state = killed.state_dict()
    run(killed, batches(9)[5:8])
    killed.flush()
    resumed = FeatureDistance(every=2, path=tmp_path / "killed.parquet")
    resumed.load_state_dict(state)
    run(resumed, batches(9)[5:])
    resumed.flush()
    assert read_distances(tmp_path / "killed.parquet").equals(read_distances(tmp_path / "whole.parquet"))


def test_other_files_are_refused(tmp_path):
    polars.DataFrame({"step": [1]}).write_parquet(tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    for name in ("none", "other", "broken"):
        with pytest.raises(ValueError, match="feature distances"):
            read_distances(tmp_path / f"{name}.parquet")
