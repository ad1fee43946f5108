"""The results of a study, collected from its run directories: rows, groups, statistics, verdicts."""
