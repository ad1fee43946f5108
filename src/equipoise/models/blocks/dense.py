"""What architectures ask of tasks that only predict maps."""

from __future__ import annotations

from collections.abc import Mapping

from equipoise.tasks import Output


def require_dense(outputs: Mapping[str, Output]) -> None:
    """See that every task predicts a value for every pixel.

    Raises:
        ValueError: If one does not.
    """
    for task, output in outputs.items():
        if not output.dense:
            raise ValueError(
                f"`tasks[{task!r}]` should have a label for every pixel in this architecture. Found one for the whole "
                "input. Use `shared` with a decoder for such tasks."
            )
