"""Looks at a dataset for people: what is in it, what is wrong with it, and a picture of it."""
