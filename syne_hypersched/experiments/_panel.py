"""The panel that stays at the bottom of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from syne_hypersched._terminal_text import shown
from syne_hypersched._wording import counted
from syne_hypersched.experiments._nodes import NodeState
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
    counts = f"{counted(progress.num_trials, 'trial')} started, {counted(progress.num_resizes, 'resize')}"
    admission.append(f"  {counts}" if admission else counts, style="dim")
    incumbent = Text(progress.describe_incumbent(), style="bold", no_wrap=True, overflow="ellipsis")
    decision = Text(progress.describe_decision(), style="dim", no_wrap=True, overflow="ellipsis")

    # The other columns keep their width when the last one has no room for all names of devices.
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    folded = fold(progress, max(1, height - _OTHER_LINES))
    longest = max((len(f"trial {row.trial_id}") for row in folded.rows), default=0)
    table.add_column("trial", no_wrap=True, min_width=longest)
    for name in ("devices", shown(progress.time_attr), shown(progress.metric), "launch"):
        table.add_column(name, justify="right", no_wrap=True, overflow="ellipsis")
    table.add_column("", no_wrap=True, overflow="ellipsis")
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
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
    parts: list[RenderableType] = [head, admission, incumbent, decision, table]
    if folded.rest:
        parts.append(_line(folded.rest))
    if folded.nodes:
        parts.append(_table_of_nodes(folded.nodes))
    parts += [_line(line) for line in (folded.other_nodes, folded.free) if line]
    return Panel(Group(*parts), title="syne-hypersched", title_align="left")


def _line(text: str) -> RenderableType:
    from rich.text import Text

    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _table_of_nodes(nodes: Sequence[NodeState]) -> RenderableType:
    """A row for each node, with counts of its devices."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for name in ("node", "held", "free", "away"):
        justify: Literal["left", "right"] = "left" if name == "node" else "right"
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis")
    table.add_column("trials", no_wrap=True, overflow="ellipsis", ratio=1)
    for node in nodes:
        is_gone = node.num_away == node.num_devices
        style = "red" if is_gone else "yellow" if node.num_away else "bold"
        table.add_row(
            Text(shown(node.name), style=style),
            f"{node.num_held} of {node.num_devices}",
            str(node.num_free or "-"),
            str(node.num_away or "-"),
            Text(node.trials, style="dim").append(
                f"{'; ' if node.trials and node.story else ''}{shown(node.story)}",
                style=style if node.num_away else "dim",
            ),
        )
    return table


def render_result(lines: list[str]) -> RenderableType:
    """The panel at the end: the result."""
    from rich.panel import Panel
    from rich.text import Text

    return Panel(Text("\n".join(lines)), title="syne-hypersched", title_align="left")
