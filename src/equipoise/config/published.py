"""Published numbers to compare with."""

from pydantic import Field

from equipoise.config.strict import Strict


class PublishedConfig(Strict):
    """Which rows of a paper's table a study is to be compared with."""

    table: str
    """One of `equipoise.studies.published.tables`."""
    rows: dict[str, str] = Field(default_factory=dict)
    """What the other columns of its rows hold, where a table has several rows a method: `{model: resnet-18}`."""
    reference: dict[str, str] | None = None
    """The same for the rows whose single-task networks they are compared with; like `rows` by default."""

    @property
    def title(self) -> str:
        """For people: the table, and which rows of it."""
        rows = ", ".join(self.rows.values())
        return self.table.replace("_", " ") + (f" ({rows})" if rows else "")
