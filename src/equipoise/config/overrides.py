"""Changes to a configuration from the command line, such as `training.epochs=5`."""

from typing import Any

import yaml

from equipoise.config.errors import ConfigError


def override(content: dict[str, Any], change: str) -> None:
    """Change plain data in place.

    Args:
        content: What a YAML file holds.
        change: A key, an equals sign and a value in YAML. Dots lead into mappings and, by number, into lists; mappings
            that are not there are made.

    Raises:
        ConfigError: It has another form, or the key leads nowhere.

    Example:
        >>> content = {"balancers": ["uniform"]}
        >>> override(content, "training.epochs=5")
        >>> override(content, "balancers.0.every=10")
        >>> content
        {'balancers': [{'name': 'uniform', 'every': 10}], 'training': {'epochs': 5}}
    """
    key, equals, text = change.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"`{change}` should have the form key.sub=value, such as training.epochs=5.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"`{change}` has a value that is not YAML: {text!r}. Put it in quotes?") from error
    place: Any = content
    for number, step in enumerate(steps):
        where = ".".join(steps[:number])
        if isinstance(place, list):
            if not step.isdecimal() or int(step) >= len(place):
                raise ConfigError(f"`{change}`: `{where}` has {len(place)} entries, counted from 0. Found `{step}`.")
            index: Any = int(step)
        elif isinstance(place, dict):
            index = step
            place.setdefault(step, None)
        else:
            raise ConfigError(f"`{change}`: `{where}` has no keys of its own.")
        if number == len(steps) - 1:
            place[index] = value
        elif place[index] is None:
            place[index] = {}
        elif isinstance(place, list) and isinstance(place[index], str):
            # A bare name in a list stands for a mapping with that name: `balancers.0.every=10`.
            place[index] = {"name": place[index]}
        place = place[index]
