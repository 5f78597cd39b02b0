"""Names that a user may type: the error for an unknown name, and conversion to names of folders."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def unknown_name(what: str, name: object, choices: Iterable[str], advice: str = "") -> ValueError:
    """The error for a name that is not among the choices. It suggests the nearest choice, if there is a near one.

    Parameters
    ----------
    what
        The kind of the name, for example ``"scheduler"``.
    name
        The name received.
    choices
        The known names.
    advice
        Text appended to the message.
    """
    choices, typed = list(choices), str(name).lower()
    near = [choice for choice in choices if typed and choice.lower().startswith(typed)]
    near = near or difflib.get_close_matches(typed, choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    offer = f"choose from {', '.join(choices)}" if choices else "there are none"
    return ValueError(f"unknown {what} {name!r}: {hint}{offer}{advice}")


def folder_name(text: str) -> str:
    """Converts a text to the name of a folder that needs no quoting in a shell and has no dot.

    Syne Tune treats the text after a dot in the name of an experiment as a suffix.
    """
    return re.sub(r"[^A-Za-z0-9_+=,-]", "_", text.replace("%", "pct").replace(":", ","))
