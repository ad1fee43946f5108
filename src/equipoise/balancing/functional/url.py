"""URL: the distance between what a multi-task network and a single-task network see."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def url_distance(students: Sequence[Tensor], teacher: Tensor, adaptors: Sequence[Tensor]) -> Tensor:
    r"""Distance of universal representation learning (Li, Liu and Bilen, IJCV 2023), for one task.

    .. math:: \sum_l \operatorname{mean}_{n, x} \big\| u(\text{resize}(A_l f_l))_{n x} - u(t)_{n x} \big\|^2,\qquad
        u(v) = v / \max(\|v\|, 10^{-12})

    with norms over the channels at each position. Differentiable, unlike its neighbours.

    Args:
        students: Features f of the multi-task network, a tensor a level, ``[B, C, H, W]``, or ``[B, C]`` where there
            are no positions.
        teacher: Last features t of the task's own network, ``[B, D, H', W']`` or ``[B, D]``; resizing is bilinear, to
            this size.
        adaptors: A linear map A for each level, ``[D, C]``.

    Returns:
        A scalar between 0 and 4 a level; zero where all directions agree.

    Example:
        >>> import torch
        >>> features = torch.randn(1, 3, 2, 2)
        >>> url_distance([features], 5 * features, [torch.eye(3)]).item() < 1e-10
        True
    """
    target = F.normalize(_map(teacher.detach()), dim=1, eps=1e-12)
    total = target.new_zeros(())
    for student, adaptor in zip(students, adaptors, strict=True):
        adapted = F.conv2d(_map(student).to(adaptor.dtype), adaptor[:, :, None, None])
        if adapted.shape[-2:] != target.shape[-2:]:
            adapted = F.interpolate(adapted, target.shape[-2:], mode="bilinear", align_corners=False)
        total = total + (F.normalize(adapted, dim=1, eps=1e-12) - target).square().sum(1).mean()
    return total


def _map(features: Tensor) -> Tensor:
    return features[:, :, None, None] if features.ndim == 2 else features
