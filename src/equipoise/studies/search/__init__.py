"""Search for the loss weights with the best delta_m on validation.

A strategy proposes weights and learns what they reach, see `Problem`. All weights that it proposes become ordinary runs
of the study, which are made once however often they are asked for. Guo et al. (2025) claim that AvgNorm makes such a
search needless.
"""

from equipoise.studies.search.driver import Search
from equipoise.studies.search.problem import Budget, BudgetSpent, Problem, Trial, Weights
from equipoise.studies.search.results import SearchResult, parse_ranges, read_search, read_searches, search_strategies
from equipoise.studies.search.runs import MakeRuns, TrialRuns
from equipoise.studies.search.strategies import RangeStrategy, Strategy, available, create

__all__ = [
    "Budget",
    "BudgetSpent",
    "MakeRuns",
    "Problem",
    "RangeStrategy",
    "Search",
    "SearchResult",
    "Strategy",
    "Trial",
    "TrialRuns",
    "Weights",
    "available",
    "create",
    "parse_ranges",
    "read_search",
    "read_searches",
    "search_strategies",
]
