"""The panel that stays at the bottom of a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syne_hypersched.experiments._progress import Progress
from syne_hypersched.experiments._rows import fold

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Lines of the panel besides a row for each trial: its frame, four lines of words, the header, free devices, one spare.
_OTHER_LINES = 9


def render_panel(progress: Progress, now_s: float, height: int) -> RenderableType:
    """The panel, which needs at most ``height`` lines.

    Parameters
    ----------
    progress
        The state of the experiment.
    now_s
        Seconds since the tuning started.
    height
        Lines of the terminal.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    bar = ProgressBar(total=progress.deadline_s, completed=min(now_s, progress.deadline_s or now_s))
    head.add_row(bar, Text(progress.describe_time(now_s)))
    admission = Text(
        progress.describe_admission(),
        style="green" if progress.admission_open else "yellow",
        no_wrap=True,
        overflow="ellipsis",
    )
    counts = f"{progress.num_trials} trials started, {progress.num_resizes} resizes"
    admission.append(f"  {counts}" if admission else counts, style="dim")
    incumbent = Text(progress.describe_incumbent(), style="bold", no_wrap=True, overflow="ellipsis")
    decision = Text(progress.describe_decision(), style="dim", no_wrap=True, overflow="ellipsis")

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("trial", "devices", progress.time_attr, progress.metric, "launch", "", ""):
        table.add_column(name, justify="left" if name in ("trial", "") else "right", no_wrap=True, overflow="ellipsis")
    folded = fold(progress, max(1, height - _OTHER_LINES))
    for row in folded.rows:
        table.add_row(
            Text(f"trial {row.trial_id}", style="bold green" if row.is_best else "bold"),
            f"×{row.num_devices}",
            row.resource,
            row.value,
            str(row.launch),
            Text(row.note, style="dim"),
            Text(row.devices, style="dim"),
        )
    lines = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in (folded.rest, folded.free) if line]
    return Panel(
        Group(head, admission, incumbent, decision, table, *lines), title="syne-hypersched", title_align="left"
    )


def render_result(lines: list[str]) -> RenderableType:
    """The panel at the end: the result."""
    from rich.panel import Panel
    from rich.text import Text

    return Panel(Text("\n".join(lines)), title="syne-hypersched", title_align="left")
