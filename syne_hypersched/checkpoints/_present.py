"""Files that were there before a launch: a script may remove them before it saves its first checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from syne_hypersched.checkpoints._numbers import names_of, pattern_of
from syne_hypersched.checkpoints._path_list import PathList


class Present:
    """See the module.

    Parameters
    ----------
    paths
        The files, all of which belong to whole checkpoints.
    layout
        What a checkpoint consists of (``_layouts.py``); empty: nobody knows.
    """

    def __init__(self, paths: Iterable[str] = (), layout: Sequence[str] = ()) -> None:
        self._paths = PathList(paths)
        self._needed = names_of(layout or self._paths.names)

    def remove(self, path: str, written: Mapping[str, int]) -> list[str]:
        """What was removed with a path of which the folder now lacks a part.

        Parameters
        ----------
        path
            A file or folder that is removed or moved away.
        written
            How many files of each name the launch has written.
        """
        gone = self._paths.within(path)
        self._paths.discard_in(path)
        return [
            other
            for other in gone
            if self._paths.names[name := pattern_of(other)] + written.get(name, 0) < self._needed[name]
        ]
