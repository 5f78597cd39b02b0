"""What a page shows of the nodes of a run and of the times when devices were not there, as values of JSON."""

from __future__ import annotations

from typing import Any

from syne_hypersched.experiments._node_table import changes_of
from syne_hypersched.experiments._nodes import by_node, node_states
from syne_hypersched.experiments.page._state import PageState
from syne_hypersched.experiments.page._views import stretches

#: Most absences that are sent: the last ones.
_MOST_ABSENCES = 1_000


def absences_of(state: PageState) -> list[list[Any]]:
    """Stretches of indices of devices, from when to when they were not there, how that is called, and why."""
    return [
        [
            stretches([state.devices[device] for device in absence.devices]),
            round(absence.start_s, 3),
            None if absence.end_s is None else round(absence.end_s, 3),
            absence.how,
            absence.reason,
        ]
        for absence in state.attendance.absences()[-_MOST_ABSENCES:]
    ]


def nodes_of(state: PageState) -> list[dict[str, Any]]:
    """All nodes, sorted by name, each with the indices of its devices in order; one without a name on one machine."""
    names = list(state.devices)
    holders = {
        names[index]: launch.trial_id
        for key in state.live
        if (launch := state.last_part.get(key)) is not None
        for index in launch.devices
    }
    states = {node.name: node for node in node_states(state.attendance, holders)}
    changes = changes_of(state.attendance)
    found = []
    for name, devices in by_node(names).items():
        node = states.get(name)
        found.append(
            {
                "name": name,
                "indices": [state.devices[device] for device in devices],
                "held": 0 if node is None else node.num_held,
                "free": 0 if node is None else node.num_free,
                "away": 0 if node is None else node.num_away,
                "trials": "" if node is None else node.trials,
                "changes": list(changes.get(name, ())),
            }
        )
    return found
