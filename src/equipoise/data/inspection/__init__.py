"""Inspection of a dataset: statistics, faults and contact sheets."""
