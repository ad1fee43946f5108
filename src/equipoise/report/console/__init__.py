"""Output for the terminal besides tables of numbers: progress, dry runs and verdicts."""
