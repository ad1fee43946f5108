"""`equipoise data make | check | show`."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli.terminal import errors, print_json, say

app = typer.Typer(help="Make, check and look at datasets.", no_args_is_help=True)
Root = Annotated[
    Path | None,
    typer.Argument(
        help="Its directory; needed but for datasets that make themselves.",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]
DatasetOptions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Options of the dataset: `classes=7`.", show_default=False),
]


@app.command()
def make(
    name: Annotated[str, typer.Argument(help="The dataset to generate: `rooms`.")],
    out: Annotated[Path, typer.Argument(help="The directory to write.")],
    scenes: Annotated[int, typer.Option(min=1, help="Rooms; split by room into train, val and test.")] = 18,
    scans: Annotated[int, typer.Option(min=1, help="Camera poses a room.")] = 40,
    size: Annotated[int, typer.Option(min=16, help="Height and width in pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same dataset.")] = 0,
) -> None:
    """Generate a dataset of indoor scenes with exact labels."""
    from equipoise._core import text
    from equipoise.data.rooms import generate
    from equipoise.report.console.progress import counting

    # Other datasets are downloaded.
    maker = text.choose("name", name, {"rooms": generate})
    with counting(errors, f"Generating {name}") as progress:
        maker(out, scenes=scenes, scans=scans, size=size, seed=seed, progress=progress)
    say(f"{out}: {scenes} scenes, {scenes * scans} scans of {size}x{size} pixels")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="The dataset's name.")],
    root: Root = None,
    options: DatasetOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read every file of a dataset; exit with 0 if all is sound, 1 if something is wrong, 2 on wrong usage."""
    from equipoise import config, data
    from equipoise.report.console.progress import counting

    chosen = config.dataset(name, root, options or ())
    with counting(errors, f"Reading {name}") as progress:
        report = data.check(name, chosen.root, progress=progress, **chosen.options)
    if as_json:
        print_json(report.to_json())
    else:
        say(str(report))
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The dataset's name.")],
    root: Root = None,
    options: DatasetOptions = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture to write.")] = Path("contact-sheet.png"),
    split: Annotated[str, typer.Option(help="Which split.")] = "train",
    samples: Annotated[int, typer.Option(min=1, help="How many samples.")] = 8,
    corrupt: Annotated[
        bool, typer.Option("--corrupt", help="Draw beside the labels what `data.corrupt` makes of them in training.")
    ] = False,
) -> None:
    """Write a contact sheet: images with the labels of every task."""
    from equipoise import config, data

    chosen = config.dataset(name, root, options or ())
    if corrupt:
        # Not every kind of task has a rule of corruption.
        tasks = [task.name for task in chosen.tasks().values() if task.noise is not None]
        right = data.create(name, root=chosen.root, split=split, tasks=tasks, **chosen.options)
        noise = chosen.corrupt or data.LabelNoise()
        wrong = data.create(name, root=chosen.root, split=split, tasks=tasks, corrupt=noise, **chosen.options)
        sheet = data.label_noise_sheet(right, wrong, samples)
    else:
        sheet = data.contact_sheet(data.create(name, root=chosen.root, split=split, **chosen.options), samples)
    sheet.save(output)
    say(f"Wrote {output}")
