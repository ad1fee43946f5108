"""What the cosine of contributions with their sum is made of."""

import polars


def cosine_split(by_task: polars.DataFrame) -> polars.DataFrame:
    """Split the mean cosine of the tasks' contributions with the update into norms and angles.

    With a_i = w_i |g_i| the norms of T contributions, mean_i cos(g_i, u) = 1/sqrt(T) * balance * alignment, where

    - `balance` = |a|_1 / (sqrt(T) |a|_2): 1 for equal norms, down to 1/sqrt(T) where one task has it all;
    - `alignment`: the rest: 1 for orthogonal contributions, above where tasks agree, below where they conflict.

    Args:
        by_task: `step`, `task`, `weighted_norm`, `cosine_with_update`, and `method` where there are several.

    Returns:
        `step`, `mean_cosine`, `orthogonal` (1/sqrt(T)), `balance`, `alignment`, and `method` where there are several.
        A step in which a task has no direction is left out.
    """
    keys = [key for key in ("method", "step") if key in by_task.columns]
    norms, cosines = polars.col("weighted_norm"), polars.col("cosine_with_update")
    return (
        by_task.group_by(keys, maintain_order=True)
        .agg(
            mean_cosine=cosines.mean(),
            orthogonal=1 / polars.len().sqrt(),
            balance=norms.abs().sum() / (polars.len().sqrt() * norms.pow(2).sum().sqrt()),
        )
        .filter(polars.col("mean_cosine").is_finite() & polars.col("balance").is_finite())
        .with_columns(alignment=polars.col("mean_cosine") / (polars.col("orthogonal") * polars.col("balance")))
    )
