"""Architectures that mix tasks, with one task: there is nothing to mix it with."""

import pytest
import torch

from equipoise import models


@pytest.mark.parametrize("architecture", ["cross_stitch", "nddr"])
def test_a_single_task_keeps_all_of_its_features(architecture):
    options = {"backbone": "resnet18", "decoder": "conv", "alpha": 0.6}
    network = models.create(architecture, tasks={"seg": 3}, **options)
    mixtures = {key: value for key, value in network.state_dict().items() if key.startswith("fusions.")}
    weights = [value for key, value in mixtures.items() if value.ndim == 4]
    assert weights
    for weight in weights:
        # A factor a channel, or a 1 x 1 convolution whose matrix is the identity.
        matrix = weight[:, :, 0, 0]
        square = matrix.shape[0] == matrix.shape[1] > 1
        expected = torch.eye(len(matrix)) if square else torch.ones_like(matrix)
        torch.testing.assert_close(matrix, expected)
