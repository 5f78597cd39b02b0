"""The part of the backend on Ray that asks Ray's autoscaler for nodes and hands nodes back."""

from __future__ import annotations

import logging
import time
from typing import Any

from syne_tune.backend.trial_status import Trial

from syne_hypersched.backends.local import ElasticLocalBackend
from syne_hypersched.backends.ray._autoscale import Autoscaling, NodeUse
from syne_hypersched.backends.ray._cluster import Cluster
from syne_hypersched.backends.ray._messages import Message
from syne_hypersched.backends.ray._parts import node_of

logger = logging.getLogger(__name__)

#: Seconds between two checks of the demand.
_PERIOD_S = 0.5


class AutoscalingBackend(ElasticLocalBackend):
    """See the module; without autoscaling it is as its parent."""

    _cluster: Cluster | None
    _nominal: int | None
    #: None: the cluster's size is somebody else's affair.
    _autoscaling: Autoscaling | None = None
    #: The settings of the gateway, which another gateway gets when one has died.
    _asked: Message
    #: Nodes that are handed back, until their agents are gone.
    _returning: frozenset[str] = frozenset()
    _look_at: float = 0.0
    _num_nodes: int = 0

    def fetch_status_results(
        self, trial_ids: list[int]
    ) -> tuple[dict[int, tuple[Trial, str]], list[tuple[int, dict[str, Any]]]]:
        """Status of each trial, and the reports that are new since the last call, sorted by time."""
        found = super().fetch_status_results(trial_ids)
        now = time.monotonic()
        if self._autoscaling is not None and self._cluster is not None and now >= self._look_at:
            self._look_at = now + _PERIOD_S
            self._scale(self._autoscaling, self._cluster, now)
        return found

    def _begin_scaling(self, settings: Message) -> Message:
        """The settings of a gateway that requests all devices at first."""
        if self._nominal is None:
            raise ValueError("num_devices must be given with autoscale=True, as the largest number of devices to use")
        self._autoscaling, self._asked = Autoscaling(self._nominal), {**settings, "wanted": self._nominal}
        self._returning, self._num_nodes = frozenset(), 0
        return self._asked

    def _scale(self, autoscaling: Autoscaling, cluster: Cluster, now: float) -> None:
        pool = self._fleet.pool
        devices: dict[str, list[str]] = {}
        for device in pool.present:
            devices.setdefault(node_of(device), []).append(device)
        if len(devices) > self._num_nodes:
            autoscaling.joined(now)
        self._num_nodes = len(devices)
        uses = {
            node: NodeUse(len(names), sum(pool.holder(name) is not None for name in names))
            for node, names in devices.items()
        }
        deadline_s = self.situation.deadline_s
        left_s = None if deadline_s is None else deadline_s - self._stopwatch.elapsed_s()
        order = autoscaling.look(now, uses, self._num_usable(), left_s, may_move=not self._fleet.one_node)
        if order.ask != self._asked["wanted"]:
            logger.info("The cluster is asked for %d devices.", order.ask)
            self._asked["wanted"] = order.ask
            cluster.send({"command": "want", "num_devices": order.ask})
        for node in order.hand_back:
            reason = f"node {node} is released: trials can use at most {order.ask} devices"
            logger.info("Node %s is released: trials can use at most %d devices.", node, order.ask)
            self._returning |= {node}
            self._fleet.devices.retire(devices[node], reason)
        for node in self._returning:
            known = cluster.nodes.get(node)
            if known is None:
                self._returning -= {node}
            elif not any(pool.holder(device) is not None for device in known.devices):
                cluster.order(node, {"order": "close"})

    def _num_usable(self) -> int:
        """Devices that trials hold or wait for, as far as the tuning may have them."""
        number = len(self.busy_trial_ids())
        wanted = None if self._request is None else self._request.wanted
        return min(number, wanted) if isinstance(wanted, int) else number
