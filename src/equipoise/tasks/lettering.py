"""Words as pictures, for labels that are no maps."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

HEIGHT, WIDTH = 16, 96


def written(words: str) -> Tensor:
    """Return a picture, uint8 ``[3, 16, 96]``, of words in black on white; what is too long for it is cut off.

    Examples:
        >>> written("cat").shape
        torch.Size([3, 16, 96])
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    ImageDraw.Draw(picture).text((2, 2), words, fill="black")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
