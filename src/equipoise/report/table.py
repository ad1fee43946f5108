"""What a table of numbers is, before it is written anywhere."""

from dataclasses import dataclass

from equipoise.studies.statistics import Interval


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: What it shows.
        higher_is_better: Which direction is better, if one is.
        decimals: How many; by default as many as give the largest number of the column four digits.
    """

    title: str
    higher_is_better: bool | None = None
    decimals: int | None = None

    @property
    def heading(self) -> str:
        """The title with an arrow to where it is better."""
        return self.title + {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        variant: The variant of the study that it belongs to, if the study has variants.
        name: Of the method.
        runs: How many runs it has in the study.
        finished: How many of them are finished; the numbers are means over these.
        values: The number of each column, with its interval over seeds, or none.
    """

    variant: str | None
    name: str
    runs: int
    finished: int
    values: tuple[Interval | None, ...]

    @property
    def title(self) -> str:
        """The name, with a remark if some of its runs are not finished."""
        return self.name if self.finished == self.runs else f"{self.name} ({self.finished}/{self.runs} runs)"


@dataclass(frozen=True)
class Table:
    """A table of numbers with names.

    Attributes:
        columns: One a number.
        rows: One a method.
        notes: Sentences to stand below.
        names: What the names of the rows are.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    names: str = "method"

    @property
    def has_variants(self) -> bool:
        """Whether rows belong to variants."""
        return any(row.variant for row in self.rows)

    def begins(self, row: int) -> bool:
        """Whether a row is the first of its variant."""
        return self.has_variants and (row == 0 or self.rows[row].variant != self.rows[row - 1].variant)

    def number(self, row: int, column: int) -> str:
        """The mean of a cell as text, or a dash."""
        value = self.rows[row].values[column]
        return "–" if value is None else self._text(value.mean, column)

    def cell(self, row: int, column: int) -> str:
        """The mean of a cell with its interval, as far as there are such."""
        return f"{self.number(row, column)} {self.interval(row, column)}".rstrip()

    def interval(self, row: int, column: int) -> str:
        """The interval of a cell in brackets; empty where there is none."""
        value = self.rows[row].values[column]
        if value is None or not value.known:
            return ""
        return f"[{self._text(value.low, column)}, {self._text(value.high, column)}]"

    def place(self, row: int, column: int) -> int | None:
        """1 for the best number of a column, 2 for the second best, ...; none where no direction is better.

        A column with a single number has no best. Equal numbers share a place.
        """
        higher = self.columns[column].higher_is_better
        value = self.rows[row].values[column]
        found = [other.mean for line in self.rows if (other := line.values[column]) is not None]
        if higher is None or value is None or len(found) < 2:
            return None
        return 1 + sum(other > value.mean if higher else other < value.mean for other in found)

    def _text(self, number: float, column: int) -> str:
        decimals = self.columns[column].decimals
        if decimals is None:
            largest = max(abs(value.mean) for row in self.rows if (value := row.values[column]) is not None)
            decimals = max(0, 4 - len(str(int(largest)))) if largest >= 1 else 4
        # Adding zero turns -0.0 into 0.0.
        return f"{round(number, decimals) + 0.0:.{decimals}f}"
