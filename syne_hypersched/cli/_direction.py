"""Warns if a metric is optimised in a direction that contradicts its name."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from syne_hypersched._direction import doubt_of_direction, is_news


def warn_of_direction(command: str, metric: str, do_minimize: bool, options: Mapping[bool, str]) -> None:
    """Prints a warning, once, if a command optimises a metric in a direction that contradicts its name.

    Parameters
    ----------
    command
        The command, as in ``"hypersched tune"``.
    metric, do_minimize
        Name of the metric, and whether it is minimised.
    options
        The options by which the metric is minimised (True) and maximised (False).
    """
    doubt = doubt_of_direction(metric, do_minimize)
    if doubt and is_news(metric, do_minimize):  # otherwise the scheduler would warn, with Python arguments
        given, other = options[do_minimize], options[not do_minimize]
        print(f"{command}: warning: {doubt} ({given}). If that is so, give {other}", file=sys.stderr, flush=True)
