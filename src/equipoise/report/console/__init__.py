"""What commands print besides tables: progress, dry runs and verdicts."""
