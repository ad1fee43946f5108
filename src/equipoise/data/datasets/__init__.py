"""The datasets: a file each, or a folder that is named after the dataset. Adding a file adds a dataset."""
