"""The table of relations: the kinds of context that each pair of tasks may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from equipoise._core.text import choose, unknown
from equipoise.models.architectures.atrc.contexts import CONTEXTS
from equipoise.tasks import Output

NONE = "none"
"""The relation of a pair of tasks without a context."""

LABEL, SEARCH = "label", "search"
"""Rules that fill a table: by labels where there are categories, or all possible kinds."""

Relations = str | Mapping[str, Mapping[str, str]]
"""A rule, a kind for all pairs, or a table: kinds by target task and source task."""

Candidates = dict[str, dict[str, tuple[str, ...]]]
"""The kinds to choose from, by target task and source task; empty for a pair without a context."""


def candidates(relations: Relations, outputs: Mapping[str, Output]) -> Candidates:
    """Return the kinds of context to choose from for each pair of tasks.

    Args:
        relations: "label": the categories of the source, or of the target if the source has none, or the global context
            if both have none. "search": all kinds that the pair can have; for a pair of a task with itself the two
            label contexts are one. The name of a kind: this kind for all pairs. A table: its kinds, and none for pairs
            that it leaves out.
        outputs: The output of each task, in the order of the network.

    Raises:
        ValueError: A name is unknown, or a task lacks the categories that a context needs.
    """
    found: Candidates = {}
    if isinstance(relations, str):
        rule = choose("relations", relations, _RULES)
        found = {target: {source: rule(target, source, outputs) for source in outputs} for target in outputs}
    else:
        for target in relations:
            if target not in outputs:
                raise unknown("relations", target, outputs)
            for source, kind in relations[target].items():
                if source not in outputs:
                    raise unknown(f"relations[{target!r}]", source, outputs)
                if kind not in (NONE, *CONTEXTS):
                    raise unknown(f"relations[{target!r}][{source!r}]", kind, (NONE, *CONTEXTS))
        for target in outputs:
            row = relations.get(target, {})
            found[target] = {s: () if (kind := row.get(s, NONE)) == NONE else (kind,) for s in outputs}
    for target, row in found.items():
        for source, kinds in row.items():
            for kind in kinds:
                _require_categories(kind, target, source, outputs)
    return found


def reads_labels(kind: str, target: str, source: str) -> str | None:
    """Return the task whose label map a context of this kind needs, if it needs one."""
    return {None: None, "target": target, "source": source}[CONTEXTS[kind].reads_labels_of]


def _require_categories(kind: str, target: str, source: str, outputs: Mapping[str, Output]) -> None:
    task = reads_labels(kind, target, source)
    if task is not None and outputs[task].categories is None:
        raise ValueError(
            f"`relations` should need no categories of `{task}`, whose labels do not fall into any. Found {kind!r} for "
            f"the target `{target}` and the source `{source}`. Use 'global', 'local' or 'none' there."
        )


def _possible(target: str, source: str, outputs: Mapping[str, Output]) -> tuple[str, ...]:
    kinds = [kind for kind in CONTEXTS if target != source or kind != "source_label"]
    needed = {kind: reads_labels(kind, target, source) for kind in kinds}
    return tuple(kind for kind, task in needed.items() if task is None or outputs[task].categories is not None)


def _by_label(target: str, source: str, outputs: Mapping[str, Output]) -> tuple[str, ...]:
    possible = _possible(target, source, outputs)
    return (next(kind for kind in ("source_label", "target_label", "global") if kind in possible),)


def _always(kind: str) -> Callable[[str, str, Mapping[str, Output]], tuple[str, ...]]:
    return lambda target, source, outputs: (kind,)


_RULES: dict[str, Callable[[str, str, Mapping[str, Output]], tuple[str, ...]]] = {
    LABEL: _by_label,
    SEARCH: _possible,
    **{kind: _always(kind) for kind in CONTEXTS},
}
