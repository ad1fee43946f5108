"""What is wrong with the files of a dataset."""

from pathlib import Path


class DatasetError(RuntimeError):
    """A file of a dataset is missing, cannot be read or holds what it should not.

    Attributes:
        path: The file or directory.
        what: What is wrong with it.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, what)
        self.path = path
        self.what = what

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


class EmptySplitError(DatasetError):
    """There is such a split, but nothing in it: by the options, or because there is too little to divide."""
