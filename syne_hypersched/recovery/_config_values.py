"""Values of configurations that JSON changes: a tuple becomes a list, a path a text. A journal gives them back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from syne_tune.config_space import Categorical, Domain
from syne_tune.optimizer.scheduler import TrialScheduler

from syne_hypersched.records.segments import encode


def config_space_of(scheduler: TrialScheduler) -> Mapping[str, Any]:
    """The configuration space of any scheduler; empty if it has none."""
    for owner in (scheduler, getattr(scheduler, "searcher", None)):
        found = getattr(owner, "config_space", None)
        if isinstance(found, Mapping):
            return found
    return {}


def check_config_space(config_space: Mapping[str, Any]) -> None:
    """Checks that configurations of a space can be written to a journal and to the table of results.

    Raises
    ------
    TypeError
        The space has a value of a type that JSON does not keep.
    ValueError
        The space has a text that cannot be written to a file.
    """
    for name, value in _values(config_space):
        try:
            written = encode({name: value})
        except (TypeError, ValueError):  # of another type; a list that contains itself
            raise TypeError(
                "config_space must have numbers, texts, truth values, None, paths, and lists, tuples or dictionaries "
                f"of these for an experiment with a Journal, but {name!r} has {value!r} of type "
                f"{type(value).__name__}: give its name or its text, and let the script make the value from it"
            ) from None
        if b"\\ud" in written and not _is_text_of_files(value):
            raise ValueError(
                f"config_space must have texts that can be written to files in UTF-8, but {name!r} has {value!r}"
            )


class ConfigValues:
    """Maps each value, as it is read from a journal, to the original value in the configuration space.

    Parameters
    ----------
    config_space
        The space; a name that it does not have keeps its value.
    """

    def __init__(self, config_space: Mapping[str, Any] | None = None) -> None:
        self._known: dict[bytes, Any] = {}
        for name, value in _values(config_space or {}):
            try:
                self._known.setdefault(encode({name: value}), value)
            except (TypeError, ValueError):  # the journal was written with another space
                continue

    def restored(self, config: dict[str, Any] | None) -> dict[str, Any] | None:
        """A configuration as it was before it was written to the journal.

        Parameters
        ----------
        config
            The configuration as it was read from the journal.
        """
        if config is None:
            return None
        return {name: self._known.get(encode({name: value}), value) for name, value in config.items()}


def _values(config_space: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All values of a space with their names, except those of domains of numbers."""
    for name, domain in config_space.items():
        if isinstance(domain, Categorical):
            yield from ((name, category) for category in domain.categories)
        elif not isinstance(domain, Domain):
            yield name, domain


def _is_text_of_files(value: Any) -> bool:
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True
