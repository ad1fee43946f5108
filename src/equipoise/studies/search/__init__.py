"""Search for the loss weights with the best delta_m on validation; P1's claim is that AvgNorm makes it needless.

A strategy is one file of `strategies`. It proposes weights and is told what they reach, see `Problem`; whatever it
proposes becomes an ordinary run of the study, which is made once however often it is asked for.
"""

from equipoise.studies.search.driver import Search
from equipoise.studies.search.problem import Budget, BudgetSpent, Outcome, Problem, Weights
from equipoise.studies.search.runs import Make, Runs
from equipoise.studies.search.strategies import Strategy, available, create
from equipoise.studies.search.trials import SearchRecord, parse_ranges, read_record, read_records

__all__ = [
    "Budget",
    "BudgetSpent",
    "Make",
    "Outcome",
    "Problem",
    "Runs",
    "Search",
    "SearchRecord",
    "Strategy",
    "Weights",
    "available",
    "create",
    "parse_ranges",
    "read_record",
    "read_records",
]
