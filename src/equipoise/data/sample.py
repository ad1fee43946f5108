"""One sample of a dataset, and what acts on it."""

from collections.abc import Callable, Mapping

from torch import Tensor

from equipoise.tasks import Task

Sample = dict[str, Tensor]
"""``"image"``: float32 ``[3, H, W]`` in [0, 1]; the name of a task: its target. A missing key means no label."""

Transform = Callable[[Sample, Mapping[str, Task]], Sample]
"""Acts on an image and its targets together, see :mod:`equipoise.data.transforms`."""
