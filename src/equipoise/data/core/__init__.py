"""Datasets as such: the base class, samples, splits, the registry and the fingerprint."""
