"""How many runs a study has in all, also those that are not known before others have ended."""

from equipoise.config import Recipe, grid_points


def runs_in_all(recipe: Recipe) -> int:
    """How many runs a study will have made in the end, where no two of its variants share one.

    A grid is tried with every seed of `grid_seeds`, and what it chose runs with every seed that has not been tried.
    """
    if recipe.variants:
        return sum(runs_in_all(recipe.variant(variant)) for variant in recipe.variants)
    seeds, trials = set(recipe.seeds), set(recipe.grid_seeds)
    of_recipe = len(grid_points(recipe.grid))
    points = [of_recipe * len(grid_points(one.grid)) for one in recipe.balancers if one.fixed_from is None]

    def runs(points: int) -> int:
        return len(seeds) if points == 1 else points * len(trials) + len(seeds - trials)

    # Trials of methods are compared with single-task networks of their own seed.
    extra = len(trials - seeds) if of_recipe == 1 and max(points, default=1) > 1 else 0
    fixed = sum(one.fixed_from is not None for one in recipe.balancers) * len(seeds)
    return len(recipe.tasks) * (runs(of_recipe) + extra) + sum(map(runs, points)) + fixed
