"""The relative change against single-task networks."""

import math
from collections.abc import Mapping


def delta_m(measured: Mapping[str, float], single: Mapping[str, float], higher_is_better: Mapping[str, bool]) -> float:
    """Mean over metrics of the signed relative change against the single-task networks, in percent (P1, equation 5).

    `delta_m = 100 / T * sum_i s_i (M_i - S_i) / S_i`, with `s_i = 1` where a higher value of metric `i` is better and
    `-1` where a lower one is. Positive means better than single-task. Units cancel, so mIoU may be in percent or a
    fraction.

    Other definitions bear the same name: the one of the Nash-MTL family has the opposite sign and takes nine metrics of
    three tasks, so that normals get five ninths of the weight; another averages within a task first. Give one metric a
    task for the definition of P1.

    Args:
        measured: Values of the multi-task network by metric name.
        single: Values of the single-task networks under the same names.
        higher_is_better: Direction of each metric under the same names.

    Returns:
        The mean relative change in percent.

    Raises:
        ValueError: When the three do not hold the same names or no name at all, when a value is not finite (a run that
            diverged has no delta_m), or when a single-task value is not above 0 (nothing is relative to it).

    Example:
        >>> single = {"miou": 40.0, "rmse": 0.60}
        >>> round(delta_m({"miou": 42.0, "rmse": 0.60}, single, {"miou": True, "rmse": False}), 6)
        2.5
        >>> round(delta_m({"miou": 42.0, "rmse": 0.57}, single, {"miou": True, "rmse": False}), 6)
        5.0
    """
    if not measured:
        raise ValueError("`measured` should hold at least one metric. Found none.")
    for name, mapping in (("single", single), ("higher_is_better", higher_is_better)):
        if missing := measured.keys() - mapping.keys():
            raise ValueError(f"`{name}` should hold every metric of `measured`. Missing: {sorted(missing)}.")
        if unknown := mapping.keys() - measured.keys():
            raise ValueError(f"`measured` should hold every metric of `{name}`. Missing: {sorted(unknown)}.")
    changes = []
    for name, value in measured.items():
        value, base = float(value), float(single[name])
        if not math.isfinite(value):
            raise ValueError(f"`measured` should be finite. Found `measured[{name!r}] = {value}`: leave this run out.")
        if not math.isfinite(base) or base <= 0:
            raise ValueError(f"`single` should be finite and above 0. Found `single[{name!r}] = {base}`.")
        sign = 1 if higher_is_better[name] else -1
        changes.append(sign * (value - base) / base)
    return 100 * math.fsum(changes) / len(changes)
