"""The lower panel of the picture of a run: which trial held which device, those of a node together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from syne_hypersched._picture_text import picture_text
from syne_hypersched.experiments._nodes import LOST, Attendance, by_node, in_order, num_nodes
from syne_hypersched.experiments._timeline import Holding

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#B8BDC4"
FAINT = "#6B7480"
_AWAY, _LOST = "#D0D4DA", "#E8A79F"
#: Height of a lane while there are few (inches), least height of a node's name, most height of all lanes.
_LANE, _NAME, _MOST = 0.42, 0.145, 7.0
#: With more devices, names of nodes stand at the lanes instead of those of devices.
_MOST_NAMES = 16
#: Least height of a bar with the number of its trial (inches).
_NUMBER = 0.13


def lanes_height_of(devices: Sequence[str]) -> float:
    """How high the panel is (inches): there is room for the names of all nodes, as far as a page permits."""
    devices_height = min(4.0, max(1.1, _LANE * len(devices)))
    return max(devices_height, min(_MOST, _NAME * num_nodes(devices)))


def draw_lanes(
    panel: Axes,
    held: Sequence[Holding],
    attendance: Attendance,
    colours: Mapping[int, str],
    end_s: float,
    height: float,
) -> None:
    """Draws a lane for each device, with the trials that held it and the times when it was not there.

    Parameters
    ----------
    panel
        Where it is drawn.
    held
        Who held which devices.
    attendance
        When which devices were there.
    colours
        The trials that have a colour of their own.
    end_s
        The end of the time that is shown.
    height
        Height of the panel (inches).
    """
    devices = in_order(attendance.devices)
    lane = {device: index for index, device in enumerate(devices)}
    begins = _begins(devices)
    lane_height, is_narrow = height / max(1, len(devices)), len(devices) > 2 * _MOST_NAMES
    reach = 0.5 if is_narrow else 0.4
    for absence in attendance.absences():
        until_s = end_s if absence.end_s is None else absence.end_s
        is_lost = absence.how == LOST
        for first, last in _stretches([lane[device] for device in absence.devices], begins):
            panel.broken_barh(
                [(absence.start_s, until_s - absence.start_s)],
                (first - reach, last - first + 2 * reach),
                facecolor=(_LOST if is_lost else _AWAY) + "66",
                edgecolor=_LOST if is_lost else _AWAY,
                hatch="////",
                linewidth=0.0,
                zorder=1.5,
            )
            has_room = until_s - absence.start_s > 0.012 * end_s * len(absence.how)
            if has_room and (last - first + 1) * lane_height >= _NUMBER:
                x, y = (absence.start_s + until_s) / 2, (first + last) / 2
                colour = "#9C2B20" if is_lost else FAINT
                panel.text(x, y, absence.how, color=colour, ha="center", va="center", fontsize=8, zorder=3)
    # Thousands of bars are drawn in seconds only if those of the same lanes and colour are one thing to be drawn.
    bars: dict[tuple[int, int, str], list[tuple[float, float]]] = defaultdict(list)
    for holding in held:
        until_s = end_s if holding.end_s is None else holding.end_s
        lanes = [lane[device] for device in holding.devices if device in lane]
        for first, last in _stretches(lanes, begins):
            bar = holding.start_s, until_s - holding.start_s
            bars[first, last, colours.get(holding.trial_id, GREY)].append(bar)
            if until_s - holding.start_s > 0.025 * end_s and (last - first + 1) * lane_height >= _NUMBER:
                x, y = (holding.start_s + until_s) / 2, (first + last) / 2
                panel.text(
                    x, y, str(holding.trial_id), color="white", ha="center", va="center", fontsize=9, weight="bold",
                    zorder=3,
                )  # fmt: skip
    for (first, last, colour), of_lanes in bars.items():
        panel.broken_barh(
            of_lanes,
            (first - reach, last - first + 2 * reach),
            facecolor=colour,
            edgecolor="white",
            linewidth=min(0.8, 6 * lane_height),
            zorder=2,
        )
    panel.set_ylim(len(devices) - 0.4, -0.6)
    _name_lanes(panel, devices, begins, height)


def _begins(devices: Sequence[str]) -> list[int]:
    """The first lane of each node, and the number of lanes."""
    begins = [0]
    for of_node in by_node(devices).values():
        begins.append(begins[-1] + len(of_node))
    return begins


def _name_lanes(panel: Axes, devices: Sequence[str], begins: Sequence[int], height: float) -> None:
    """Names of devices or, if these are many, of nodes; a line between two nodes."""
    nodes = by_node(devices)
    if len(nodes) > 1:
        for begin in begins[1:-1]:
            panel.axhline(begin - 0.5, color=FAINT, linewidth=0.8 if len(nodes) <= _MOST_NAMES else 0.4, zorder=3)
    panel.set_ylabel("device" if len(nodes) == 1 else "devices by node", color=FAINT)
    if len(devices) <= _MOST_NAMES:
        panel.set_yticks(range(len(devices)), [picture_text(device) for device in devices])
    elif len(nodes) > 1:
        step = max(1, round(len(nodes) * _NAME / height + 0.49)) if len(nodes) * _NAME > height else 1
        places = [(first + after - 1) / 2 for first, after in pairwise(begins)]
        panel.set_yticks(places[::step], [picture_text(node) for node in nodes][::step])
        panel.tick_params(axis="y", length=0)


def _stretches(lanes: Sequence[int], begins: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring lanes of a node as pairs of the first and the last one."""
    found: list[tuple[int, int]] = []
    for index in sorted(lanes):
        if found and index == found[-1][1] + 1 and index not in begins:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found
