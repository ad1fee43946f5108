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
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Runs at a time.")]
ExecutorName = Annotated[
    str,
    typer.Option("--executor", metavar="NAME", help="Makes the runs: `local` (in processes here), `ray` or `slurm`."),
]
Address = Annotated[
    str | None, typer.Option(help="Of the cluster of `ray`; by default one is started here.", show_default=False)
]
ExecutorOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Of the executor, such as `cpus=4`.", show_default=False),
]
