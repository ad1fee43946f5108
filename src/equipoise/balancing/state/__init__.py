"""Tools for the state of methods: per-task entries, optimisers, random generators."""
