"""Checks of what only a scheduler is given: levels, names of entries, the configuration space, points to try first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syne_tune.config_space import Categorical, Domain, FiniteRange, Float, Integer
from syne_tune.constants import ST_CHECKPOINT_DIR

from syne_hypersched.checks import is_iterable, is_number

Config = dict[str, Any]

#: Types whose values can always be categories.
_PLAIN = (str, int, float, bool)


def entry_name(name: str, key: object) -> str:
    """Checks an argument that names an entry of the reports.

    Raises
    ------
    TypeError
        It is not a name.
    """
    if not isinstance(key, str) or not key:
        raise TypeError(f"{name} must be the name of an entry of the reports, but got {key!r}")
    return key


def configuration_space(config_space: object) -> dict[str, Any]:
    """Checks a configuration space.

    Raises
    ------
    TypeError
        It is not a dictionary, or a name in it is no text.
    ValueError
        It has nothing to search, a name that backends give to the script themselves, or a category that no trial can be
        given.
    """
    if not isinstance(config_space, Mapping):
        raise TypeError(f"config_space must be a dictionary, but got {config_space!r}")
    for name in config_space:
        if not isinstance(name, str) or not name:
            raise TypeError(f"config_space must have names of hyperparameters as keys, but has {name!r}")
    if ST_CHECKPOINT_DIR in config_space:
        raise ValueError(
            f"config_space must not have the name {ST_CHECKPOINT_DIR!r}, which the backend gives to the script itself"
        )
    if not any(isinstance(domain, Domain) for domain in config_space.values()):
        raise ValueError(f"config_space must have at least one domain to search, but got {dict(config_space)!r}")
    for name, domain in config_space.items():
        if isinstance(domain, Categorical) and domain.value_type not in _PLAIN:
            _check_categories(name, domain)
    return dict(config_space)


def _check_categories(name: str, domain: Categorical) -> None:
    """Syne Tune passes each value of a configuration to the type of the first category: ``str(value)``, for example."""
    for category in domain.categories:
        try:
            domain.cast(category)
        except Exception as error:
            raise ValueError(
                "config_space must have categories that their type makes out of themselves, as str and float do, but "
                f"{name!r} has {category!r} ({error}): name it by text, and look it up in the script"
            ) from error


def checked_points(
    points: object, config_space: Mapping[str, Any], argument: str = "points_to_evaluate"
) -> list[Config]:
    """Checks configurations, such as those that are to be tried first.

    Parameters
    ----------
    points
        The configurations.
    config_space
        Configuration space: names to domains or constants.
    argument
        Name of the argument, for messages.

    Returns
    -------
    list of dict
        The same.

    Raises
    ------
    TypeError
        They are not a list of dictionaries.
    ValueError
        One lacks a domain of ``config_space``, has a name that is not in it, or a value outside of its domain.
    """
    if isinstance(points, (str, bytes, Mapping)) or not is_iterable(points):
        raise TypeError(f"{argument} must be a list of dictionaries, but got {points!r}")
    searched = {name for name, domain in config_space.items() if isinstance(domain, Domain)}
    checked = []
    for index, point in enumerate(points):
        if not isinstance(point, Mapping):
            raise TypeError(f"{argument}[{index}] must be a dictionary, but got {point!r}")
        missing, unknown = sorted(searched - set(point)), sorted(map(str, set(point) - set(config_space)))
        if missing or unknown:
            raise ValueError(
                f"{argument}[{index}] must have the names of config_space, "
                f"but lacks {missing} and has {unknown} beyond it"
            )
        for name in sorted(searched):
            if not _is_in(config_space[name], point[name]):
                raise ValueError(
                    f"{argument}[{index}][{name!r}] must be in {_described(config_space[name])}, the domain of "
                    f"{name!r} in config_space, but got {point[name]!r}"
                )
        checked.append(dict(point))
    return checked


def _is_in(domain: Domain, value: Any) -> bool:
    if isinstance(domain, (Float, Integer, FiniteRange)):
        if not is_number(value):
            return False
        # In this order: infinity cannot be rounded.
        return bool(domain.lower <= value <= domain.upper) and (
            not isinstance(domain, Integer) or value == round(float(value))
        )
    try:
        # A category that is a float is recognised within a hundredth, as Syne Tune does when it casts values.
        is_near = isinstance(domain, Categorical) and isinstance(domain.categories[0], float)
        return bool(domain.is_valid(domain.cast(value) if is_near else value))
    except (AssertionError, TypeError, ValueError, NotImplementedError):
        return False


def _described(domain: Domain) -> str:
    if isinstance(domain, Categorical):
        return f"{list(domain.categories)!r}"
    return f"[{domain.lower!r}, {domain.upper!r}]" if hasattr(domain, "lower") else repr(domain)
