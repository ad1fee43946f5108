"""`equipoise data make | check | show`."""

from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.errors import input_errors
from equipoise.cli.terminal import errors, print_json, print_line

app = typer.Typer(help="Make, check and look at datasets.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The name of the dataset.")]
Root = Annotated[
    Path | None,
    typer.Argument(
        help="The directory of the dataset. Datasets that generate themselves need none.",
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
    name: Annotated[str, typer.Argument(help="The dataset to generate, such as `rooms`.")],
    out: Annotated[Path, typer.Argument(help="The directory to write.")],
    scenes: Annotated[
        int, typer.Option(min=1, help="Number of rooms. They are split by room into train, val and test.")
    ] = 18,
    scans: Annotated[int, typer.Option(min=1, help="Camera poses of each room.")] = 40,
    size: Annotated[int, typer.Option(min=16, help="Height and width in pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same dataset.")] = 0,
) -> None:
    """Generate a dataset of indoor scenes with exact labels."""
    from equipoise._core import text
    from equipoise.data.rooms import generate
    from equipoise.report.console.progress import progress_bar

    with input_errors(), progress_bar(errors, f"Generating {name}") as progress:
        # Other datasets are downloaded.
        maker = text.choose("name", name, {"rooms": generate})
        maker(out, scenes=scenes, scans=scans, size=size, seed=seed, progress=progress)
    print_line(f"{out}: {scenes} scenes, {scenes * scans} scans of {size}x{size} pixels")


@app.command()
def check(
    name: Name,
    root: Root = None,
    options: DatasetOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read every file of a dataset. The exit code is 0 if all is sound, 1 if something is wrong, 2 on wrong usage."""
    from equipoise import config, data
    from equipoise.report.console.progress import progress_bar

    with input_errors(), progress_bar(errors, f"Reading {name}") as progress:
        chosen = config.dataset(name, root, options or ())
        report = data.check(name, chosen.root, progress=progress, **chosen.options)
    if as_json:
        print_json(report.to_json())
    else:
        print_line(str(report))
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def show(
    name: Name,
    root: Root = None,
    options: DatasetOptions = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture to write.")] = Path("contact-sheet.png"),
    split: Annotated[str, typer.Option(help="The split to show.")] = "train",
    samples: Annotated[int, typer.Option(min=1, help="Number of samples.")] = 8,
    corrupt: Annotated[
        bool, typer.Option("--corrupt", help="Draw the labels that `data.corrupt` makes beside the true ones.")
    ] = False,
) -> None:
    """Write a contact sheet: images with the labels of every task."""
    from equipoise import config, data

    with input_errors():
        chosen = config.dataset(name, root, options or ())
        if corrupt:
            # Some kinds of tasks have no rule of corruption.
            tasks = [task.name for task in chosen.tasks().values() if task.noise is not None]
            right = data.create(name, root=chosen.root, split=split, tasks=tasks, **chosen.options)
            noise = chosen.corrupt or data.LabelNoise()
            wrong = data.create(name, root=chosen.root, split=split, tasks=tasks, corrupt=noise, **chosen.options)
            sheet = data.label_noise_sheet(right, wrong, samples)
        else:
            sheet = data.contact_sheet(data.create(name, root=chosen.root, split=split, **chosen.options), samples)
    sheet.save(output)
    print_line(f"Wrote {output}")
