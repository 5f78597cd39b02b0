"""Progress of a study, on the standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def study_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A callback for ``on_progress`` of ``run_study``: shows a bar on a terminal, else a line for each tenth."""
    if not sys.stderr.isatty():
        yield _progress_lines()
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield _progress_lines()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading")

        def show(done: int, total: int, title: str) -> None:
            bar.update(task, completed=done, total=total, description=title)

        yield show


def _progress_lines() -> Callable[[int, int, str], None]:
    shown = -1

    def show(done: int, total: int, title: str) -> None:
        nonlocal shown
        tenth = 10 * done // max(1, total)
        if tenth != shown or done == total:
            shown = tenth
            print(f"{done} of {total} runs are finished", file=sys.stderr, flush=True)

    return show
