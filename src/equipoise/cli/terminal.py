"""What commands print to: results on standard output, progress and errors on standard error."""

import json
import sys
from typing import Any

from rich.console import Console

console = Console()
errors = Console(stderr=True)


def say(line: str) -> None:
    """Print a line as it is, however long."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """Print JSON for other programs; numbers that are not finite as null."""
    from equipoise.training.files import strict

    sys.stdout.write(json.dumps(strict(content), indent=1) + "\n")
