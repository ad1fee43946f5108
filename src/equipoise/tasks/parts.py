"""Parts of people or objects."""

from dataclasses import dataclass

from torch import Tensor

from equipoise.tasks.semantic_segmentation import SemanticSegmentation


@dataclass(frozen=True, kw_only=True)
class Parts(SemanticSegmentation):
    """The parts of people or objects; class 0 is the background.

    As segmentation, except that an image that shows none of the parts counts as unlabelled (as in the public recipes
    for PASCAL-Context, where an all-background map means that nobody annotated the parts of that image).

    Examples:
        >>> import torch
        >>> task = Parts(name="parts", classes=("background", "head", "torso"))
        >>> task.has_labels(torch.tensor([[0, 0, 255]])), task.has_labels(torch.tensor([[0, 2, 255]]))
        (False, True)
    """

    kind = "parts"

    def has_labels(self, target: Tensor) -> bool:
        """Return whether any pixel shows a part."""
        return bool((self.valid(target) & (target > 0)).any())
