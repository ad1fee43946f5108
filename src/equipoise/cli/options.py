"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[Path, typer.Argument(help="A recipe, such as recipes/quickstart.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Changes to the recipe: `training.epochs=5 data.root=/path`.", show_default=False
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where runs and studies are kept.")]
