"""The page's HTML, from its content."""

import base64
import hashlib
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from equipoise._core.files import json_safe, write_text
from equipoise.report.html.content import Content, gather
from equipoise.studies import open_study

_SCRIPTS = ("elements", "filters", "tables", "lines", "changes", "gradients", "epochs", "predictions", "page")
_PACKAGE = "equipoise.report.html"


def render(content: Content) -> str:
    """The whole page.

    All text is escaped, data for scripts too; a policy in its head forbids the browser every request, and every script
    and style but those of this room, by their hashes.
    """
    environment = Environment(
        loader=PackageLoader(_PACKAGE, "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["prose"] = _prose
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    style = _asset("page.css")
    # One scope for all, and none of their names outside.
    script = '(() => {\n"use strict";\n' + "\n".join(_asset(f"{name}.js") for name in _SCRIPTS) + "})();\n"
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html.j2").render(
        page=content,
        # The loader escapes what is text. These two are code of this package.
        style=Markup(style),
        script=Markup(script),
        policy=policy,
        data=json_safe(content.data),
    )


def _asset(name: str) -> str:
    return (files(_PACKAGE) / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _prose(text: str) -> Markup:
    """Text with what stands in backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _data_uri(text: str, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"


PAGE = "report.html"
"""In the directory of a study."""


def write_page(
    directory: Path, output: Path | None = None, progress: Callable[[str], None] = lambda doing: None
) -> Path:
    """Write the page of a study as it is now, whether it is finished or not.

    Args:
        directory: Of the study, such as `studies/quickstart`.
        output: The file; `report.html` in the study's directory if left out.
        progress: Told what is being done.

    Returns:
        Where the page is.

    Raises:
        ConfigError: It is no directory of a study.
    """
    page = directory / PAGE if output is None else output
    content = gather(open_study(directory), progress)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, render(content))
    return page
