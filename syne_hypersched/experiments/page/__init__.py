"""A page that shows a run: as one file, or live in a browser. It is made of the run's files only."""

from __future__ import annotations

from syne_hypersched.experiments.page._reader import RunReader as RunReader
from syne_hypersched.experiments.page._server import PageServer as PageServer
from syne_hypersched.experiments.page._write import print_page as print_page
from syne_hypersched.experiments.page._write import write_page as write_page

__all__ = ["PageServer", "RunReader", "print_page", "write_page"]
