"""From a recipe to its runs, their keys, and an estimate of what they take."""
