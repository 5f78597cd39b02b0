"""Events and reports of runs on a cluster, made without processes."""

from __future__ import annotations

from collections.abc import Iterable

from syne_hypersched.experiments import Event, Report, Run


def devices_of(node: str, num_devices: int) -> tuple[str, ...]:
    return tuple(f"{node}/{index}" for index in range(num_devices))


def names_of(num_nodes: int, num_devices: int) -> dict[str, tuple[str, ...]]:
    """Nodes with their devices, as they may become known: not sorted by name."""
    nodes = [f"node{index}" for index in range(1, num_nodes + 1)]
    return {node: devices_of(node, num_devices) for node in (*nodes[1::2], *nodes[::2])}


class ClusterRun:
    """A run on nodes whose devices trials get one after the other, written down as the backend on Ray does."""

    def __init__(self, num_nodes: int, num_devices: int, later: Iterable[str] = ()) -> None:
        self.nodes = names_of(num_nodes, num_devices)
        there = [device for node, devices in self.nodes.items() if node not in later for device in devices]
        self.away = {device for node in later for device in self.nodes[node]}
        self.now_s = 0.0
        self.events: list[Event] = [Event(0.0, "setup", devices=tuple(there), details={"deadline_s": 100.0})]
        self.reports: list[Report] = []
        self.held: dict[int, tuple[str, ...]] = {}
        self.launches: dict[int, int] = {}
        self.levels: dict[int, int] = {}

    def at(self, now_s: float) -> ClusterRun:
        self.now_s = now_s
        return self

    def _present(self) -> int:
        return sum(map(len, self.nodes.values())) - len(self.away)

    def _pool(self, event: str, devices: Iterable[str], reason: str) -> None:
        holders = {device: trial_id for trial_id, held in self.held.items() for device in held}
        details = {"present": self._present(), "holders": {d: holders[d] for d in devices if d in holders}}
        self.events.append(Event(self.now_s, event, None, tuple(devices), None, reason, details))

    def join(self, node: str) -> None:
        self.away -= set(self.nodes[node])
        self._pool("join", self.nodes[node], f"node {node} is there")

    def lose(self, node: str, why: str = "no answer for 10 s") -> None:
        self.away |= set(self.nodes[node])
        self._pool("lose", self.nodes[node], f"node {node} is lost: {why}")
        self._end_those_on(node, "lost")

    def drain(self, node: str) -> None:
        self.away |= set(self.nodes[node])
        self._pool("retire", self.nodes[node], f"node {node} is to go")
        self._end_those_on(node, "drained")
        self._pool("freed", self.nodes[node], "")

    def _end_those_on(self, node: str, how: str) -> None:
        for trial_id, devices in list(self.held.items()):
            if not set(devices).isdisjoint(self.nodes[node]):
                self.exit(trial_id, how, "pool")

    def launch(self, trial_id: int, num_devices: int) -> None:
        taken = {device for held in self.held.values() for device in held} | self.away
        free = [device for devices in self.nodes.values() for device in devices if device not in taken]
        self.held[trial_id] = tuple(free[:num_devices])
        if trial_id not in self.launches:
            self.events.append(Event(self.now_s, "start", trial_id))
        self.launches[trial_id] = self.launches.get(trial_id, -1) + 1
        self.events.append(Event(self.now_s, "launch", trial_id, self.held[trial_id], self.launches[trial_id]))

    def exit(self, trial_id: int, how: str = "drained", reason: str = "resize") -> None:
        devices, launch = self.held.pop(trial_id), self.launches[trial_id]
        self.events.append(Event(self.now_s, "exit", trial_id, devices, launch, reason, {"how": how}))

    def report(self, trial_id: int) -> None:
        self.levels[trial_id] = level = self.levels.get(trial_id, 0) + 1
        self.reports.append(
            Report(
                trial_id, self.now_s, level, 1 / (level + 1) + trial_id / 1000, len(self.held[trial_id]),
                self.launches[trial_id], worker_time_s=self.now_s, decision="CONTINUE",
            )
        )  # fmt: skip

    def report_all(self) -> None:
        for trial_id in self.held:
            self.report(trial_id)

    @property
    def run(self) -> Run:
        configs = {trial_id: {"lr": 0.1 / (trial_id + 1)} for trial_id in self.launches}
        return Run("loss", True, "epoch", tuple(self.reports), tuple(self.events), configs)


def small_run() -> ClusterRun:
    """Eight devices on two nodes, the second of which is lost and comes back."""
    run = ClusterRun(2, 4)
    for trial_id in range(6):
        run.at(0.5).launch(trial_id, 1)
    run.at(5.0).report_all()
    run.at(10.0).exit(0)
    run.at(10.5).launch(0, 3)
    run.at(18.0).report_all()
    run.at(30.0).lose("node2")
    run.at(33.0).report_all()
    run.at(55.0).join("node2")
    run.at(56.0).launch(2, 4)
    run.at(70.0).report_all()
    return run


def large_run() -> ClusterRun:
    """256 devices on 32 nodes: one joins later, one is lost and comes back, one is lost for good, one is drained."""
    run = ClusterRun(32, 8, later=["node30"])
    for trial_id in range(240):
        run.at(0.5 + trial_id / 100).launch(trial_id, 1)
    for now_s in (8.0, 16.0):
        run.at(now_s).report_all()
    run.at(20.0).join("node30")
    run.at(25.0).lose("node7", "its link is cut")
    run.at(40.0).lose("node12")
    for trial_id in list(run.held)[60:]:
        run.at(45.0).exit(trial_id, reason="pause")
    run.at(50.0).drain("node21")
    run.at(55.0).join("node7")
    for trial_id, number in zip(list(run.held)[:4], (64, 48, 32, 16), strict=True):
        run.at(60.0 + trial_id).exit(trial_id)
        run.at(60.5 + trial_id).launch(trial_id, number)
    run.at(80.0).report_all()
    return run
