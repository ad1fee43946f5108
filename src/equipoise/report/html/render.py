"""The page of a study as HTML."""

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
from equipoise.studies import Study

PAGE = "report.html"
"""The name of the page in the directory of a study."""
_SCRIPTS = ("elements", "filters", "tables", "lines", "changes", "gradients", "epochs", "predictions", "page")
_PACKAGE = "equipoise.report.html"


def write_page(study: Study, output: Path | None = None, progress: Callable[[str], None] = lambda step: None) -> Path:
    """Write the page of a study as it is now, finished or not.

    Args:
        study: The study, see `equipoise.studies.open_study`.
        output: The file; `report.html` in the study's directory by default.
        progress: Called with the name of each step.

    Returns:
        The path of the page.
    """
    page = study.directory / PAGE if output is None else output
    content = gather(study, progress)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, render(content))
    return page


def render(content: Content) -> str:
    """Return the whole page as HTML.

    All text is escaped, also the data for scripts. A policy in the head forbids the browser every request, and every
    script and style but those of this package, by their hashes.
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
    # One scope for all scripts, so that none of their names is global.
    script = '(() => {\n"use strict";\n' + "\n".join(_asset(f"{name}.js") for name in _SCRIPTS) + "})();\n"
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html.j2").render(
        page=content,
        # The environment escapes text. These two are code of this package.
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
    """Escape a text, and show the parts in backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _data_uri(text: str, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
