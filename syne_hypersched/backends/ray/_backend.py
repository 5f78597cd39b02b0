"""Trials on the nodes of a Ray cluster, whose number of devices can change while they run."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from syne_hypersched import checks
from syne_hypersched._extras import needs_extra
from syne_hypersched._wording import counted
from syne_hypersched.backends.local import LaunchMode, Processes, RestoredTrial, modules_to_preload
from syne_hypersched.backends.machine.discovery import Devices
from syne_hypersched.backends.ray._arguments import address_of, find_ray, folders_of, variables
from syne_hypersched.backends.ray._cluster import Cluster
from syne_hypersched.backends.ray._gateway_process import no_device
from syne_hypersched.backends.ray._launcher import ClusterLauncher
from syne_hypersched.backends.ray._lease import SLACK_S
from syne_hypersched.backends.ray._parts import ClusterSpec, node_of, parts_of, rank_specs
from syne_hypersched.backends.ray._rank_log import append_rest, end_line, left_behind
from syne_hypersched.backends.ray._streams import CheckpointStreams
from syne_hypersched.backends.ray._url_backend import UrlBackend
from syne_hypersched.backends.shared.devices import DevicePool
from syne_hypersched.filenames import STDOUT_FILENAME
from syne_hypersched.launch import working_directory

logger = logging.getLogger(__name__)

#: A trial that begins with the checkpoint of another one waits for it at most this many seconds.
_FETCH_S = 600.0


class ElasticRayBackend(UrlBackend):
    """Runs trials on the nodes of a Ray cluster, and changes their number of devices when the scheduler asks for it.

    Example::

        backend = ElasticRayBackend("train.py", num_devices=16, checkpoint_path="/shared/checkpoints")
        tuner = Tuner(backend, scheduler, StoppingCriterion(max_wallclock_time=3600), n_workers=16)

    Used exactly as :class:`~syne_hypersched.ElasticLocalBackend`, with all its promises. The tuner runs on a node of
    the cluster. One agent on each node starts the processes of trials, from a server that has imported their libraries;
    Ray tells which nodes there are, reserves devices, and carries messages. A resize never asks Ray's scheduler. Nodes
    may join and leave while trials run: see ``docs/cluster.md``, also for what happens when a node is cut off.

    Parameters
    ----------
    entry_point
        Script or program to be tuned, with the same path and content on all nodes.
    num_devices
        Most devices that are used, and the number for which the scheduler plans; by default those of all nodes that the
        cluster has now. If fewer are there, trials share these and the others join when their nodes come.
    address
        Address of the cluster as in ``ray.init``; ``"auto"``: the one that this machine belongs to.
    devices_of
        The resource of Ray that is a device: ``"GPU"``, or the name of a custom resource, each unit of which is a CPU
        slot.
    checkpoint_path
        Folder that all nodes and the tuner share, for checkpoints. By default they are in the experiment's own folder
        if the nodes share that. If they do not, checkpoints are on the disks of nodes, are copied to the tuner's disk
        as they are made, and to the nodes on which a trial goes on. With a URL (``s3://...``) so they are, too, and
        are then also written there, by ``fsspec``.
    node_path
        Folder on each node's own disk for checkpoints, if they are not to be in a shared folder; by default, if there
        is none, a folder in the node's folder for temporary files.
    env_vars
        Environment variables of trials, beside those with which Ray was started on their node. ``RAY_*`` of the node,
        such as the cluster's token, are kept from trials.
    lease_s
        Seconds without an answer after which a node is taken for lost. Its trials have ended by themselves when those
        seconds and ``grace_s`` are over; only then they are started elsewhere.
    start_timeout_s
        How long ``num_devices`` devices are waited for at the start (s). At least one must come.
    autoscale
        Whether Ray's autoscaler is asked for as many devices as trials have use for, ``num_devices`` at most, and gets
        nodes back for which they have none any more. Trials begin when the first node is there.
    max_memory
        Share of a node's memory that may be used before its largest trial is ended.
    insecure
        Whether a cluster may be used that other machines can reach and that asks for no token.
    num_devices_per_trial
        Devices with which trials start and resume.
    processes
        ``"per_device"``: a trial has one process for each of its devices, with the environment of
        ``torch.distributed``; only rank 0's reports count. ``"single"``: one process without a rank that sees all
        devices of its trial, which are then on one node; ``ST_NUM_DEVICES`` is their number.
    binary
        Program (and arguments, as a list or as one string that is split as a shell would) that runs ``entry_point``. By
        default Python scripts are run by this interpreter and anything else by itself.
    launch
        ``"warm"`` forks Python scripts from a server that has imported their heavy libraries already; ``"cold"`` starts
        a new interpreter each time; by default warm where possible.
    preload
        Modules that the servers of warm launches import; by default the heavy ones that the script imports.
    grace_s
        Seconds from SIGTERM, which asks a trial to checkpoint and exit, to SIGKILL.
    time_attr
        Entry of a report that is the resource level. Schedulers of this package say it themselves; with other
        schedulers it lets the backend drop what a resumed trial reports again.
    retries, retry_backoff_s
        A trial whose launch fails is launched again from its checkpoint after ``retry_backoff_s`` seconds, which double
        each time, and has failed when ``retries`` launches in a row have brought no new report.
    stall_timeout_s
        A launch without a report for this many seconds is ended, and has failed. By default it may take any time.
    min_free_mb
        Megabytes that must be free where checkpoints are written. Trials wait for them before they are launched.
    delete_checkpoints
        Whether the checkpoints of trials that are over are removed while the tuning goes on, and those of the others at
        its end unless a :class:`~syne_hypersched.Journal` is kept. By default all stay.
    pass_args_as_json
        Whether a script gets its configuration as a JSON file, whose path is ``--st_config_json_filename``, instead of
        one argument for each entry.
    arguments
        What the script is given, if not ``--name value`` for all that is configured; see ``docs/scripts.md``.

    Raises
    ------
    ConnectionError
        The cluster cannot be reached, or has no such device.
    ModuleNotFoundError
        Ray is not installed.
    PermissionError
        The cluster asks for no token although other machines can reach it.
    TypeError, ValueError
        An argument makes no sense.
    """

    def __init__(
        self,
        entry_point: str | Path,
        num_devices: int | None = None,
        *,
        address: str = "auto",
        devices_of: str = "GPU",
        checkpoint_path: str | Path | None = None,
        node_path: str | Path | None = None,
        env_vars: Mapping[str, str] | None = None,
        lease_s: float = 10.0,
        start_timeout_s: float = 60.0,
        autoscale: bool = False,
        max_memory: float = 0.92,
        insecure: bool = False,
        num_devices_per_trial: int = 1,
        processes: Processes = "per_device",
        binary: str | Sequence[str] | None = None,
        launch: LaunchMode | None = None,
        preload: Sequence[str] | None = None,
        grace_s: float = 5.0,
        time_attr: str | None = None,
        retries: int = 2,
        retry_backoff_s: float = 1.0,
        stall_timeout_s: float | None = None,
        min_free_mb: float = 100.0,
        delete_checkpoints: bool = False,
        pass_args_as_json: bool = False,
        arguments: Sequence[str] | None = None,
    ) -> None:
        self._checkpoint_path, self._node_path, self._url = folders_of(checkpoint_path, node_path, pass_args_as_json)
        #: Copies checkpoints if no folder is shared; None: one is. Not known before the first trial.
        self._streams: CheckpointStreams | None = None
        self._is_streaming = False
        self._full: set[str] = set()
        self._nominal = None if num_devices is None else checks.positive_integer("num_devices", num_devices)
        self._start_timeout_s = checks.positive_seconds("start_timeout_s", start_timeout_s)
        self._cluster_settings: dict[str, Any] = {
            "address": address_of(address),
            "resource": checks.text("devices_of", devices_of),
            "num_devices": self._nominal or 0,
            "insecure": checks.truth("insecure", insecure),
        }
        self._agent_settings: dict[str, Any] = {
            "lease_s": checks.positive_seconds("lease_s", lease_s),
            "env_vars": variables({} if env_vars is None else env_vars),
            "max_memory": checks.number("max_memory", max_memory, above=0, at_most=1),
            "node_path": None if self._node_path is None else str(self._node_path),
            "min_free_mb": min_free_mb,
        }
        self._may_scale = checks.truth("autoscale", autoscale)
        self._cluster: Cluster | None = None
        self._wanted_preload = None if preload is None else checks.names("preload", preload)
        with needs_extra("ElasticRayBackend", "ray"):
            find_ray()
        try:
            super().__init__(
                entry_point,
                num_devices,
                num_devices_per_trial=num_devices_per_trial,
                processes=processes,
                binary=binary,
                launch=launch,
                preload=preload,
                grace_s=grace_s,
                time_attr=time_attr,
                retries=retries,
                retry_backoff_s=retry_backoff_s,
                stall_timeout_s=stall_timeout_s,
                min_free_mb=min_free_mb,
                delete_checkpoints=delete_checkpoints,
                share_devices=True,
                pass_args_as_json=pass_args_as_json,
                arguments=arguments,
                resize="relaunch",  # processes of several nodes cannot join each other
            )
        except BaseException:  # the devices of nodes may be reserved already
            if self._cluster is not None:
                self._cluster.close()
            raise
        self._fleet.one_node = processes == "single"
        self._checkpoints.is_arriving, self._checkpoints.on_gone = self._is_arriving, self._on_gone

    def checkpoint_trial_path(self, trial_id: int) -> Path:
        """The folder for checkpoints of a trial."""
        if self._checkpoint_path is None:
            return Path(super().checkpoint_trial_path(trial_id))
        return self._checkpoint_path / Path(self.local_path).name / str(trial_id) / "checkpoints"

    def copy_checkpoint(self, src_trial_id: int, tgt_trial_id: int) -> None:
        """Copies the newest checkpoint of a trial, which may be running, to another one."""
        if self._streams is not None:
            self._streams.fetch(str(self.checkpoint_trial_path(src_trial_id)), _FETCH_S)  # it may be on a node
        super().copy_checkpoint(src_trial_id, tgt_trial_id)

    def restore(self, restored: Sequence[RestoredTrial], elapsed_s: float, is_set_up: bool) -> None:
        """Continues the trials of a backend whose tuner has died.

        The agents have waited for its processes on the nodes that are there. If a trial ran on a node that is missing,
        its lease must end first, because the node may only be disconnected.
        """
        nodes = self._running_cluster().nodes
        away = {node_of(device) for known in restored if known.is_lost for device in known.devices} - nodes.keys()
        if away:
            wait_s = self._agent_settings["lease_s"] + self.grace_s + SLACK_S
            logger.warning(
                "Nodes %s, on which trials ran, are missing: waiting %.0f s, by which time these trials have ended.",
                ", ".join(sorted(away)), wait_s,
            )  # fmt: skip
            time.sleep(wait_s)
        for known in restored:
            trial_id = known.trial.trial_id
            log = self.trial_path(trial_id) / STDOUT_FILENAME
            for printed in left_behind(Path(self.checkpoint_trial_path(trial_id)).parent):
                append_rest(printed, log)
            end_line(log)
        super().restore(restored, elapsed_s, is_set_up)

    def stop_all(self) -> None:
        """Drains all trials, and returns when every process is gone, on all nodes, and the cluster is left."""
        with self._folder_lock:
            super().stop_all()
            if self._cluster is not None:
                self._cluster.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_streams": None, "_mirror": None}

    def __str__(self) -> str:
        return f"elastic ray entry_point {Path(self.entry_point).name} on {counted(self.num_devices, 'device')}"

    # What is different from one machine.

    def _find_devices(self, *_: Any) -> Devices:
        self._cluster = self._connect()
        names = self._cluster.start(1 if self._may_scale else self._nominal, self._start_timeout_s)[: self._nominal]
        if not names:
            raise no_device(self._cluster_settings["resource"], self._start_timeout_s, self._cluster.reasons)
        if self._nominal is not None and len(names) < self._nominal:
            there, wanted = len(names), counted(self._nominal, "device")
            logger.warning("The cluster has %d of %s: the trials share these until more nodes join.", there, wanted)
        return Devices(names)

    def _make_pool(self, shares_per_gpu: int = 1) -> DevicePool:
        names = self.devices.names
        return DevicePool(names, [node_of(name) for name in names], num_devices=self._nominal or len(names))

    def _claim_devices(self) -> None:
        """Checks before the first trial that all nodes have what trials need; agents have reserved the devices."""
        cluster, script = self._running_cluster(), Path(self.entry_point)
        if cluster.is_checked:
            return
        if self._checkpoint_path is not None:
            cluster.check(self._checkpoint_path, script, self._start_timeout_s)
            return
        self._check_url()
        if not self._is_streaming and self._node_path is None and self._url is None:
            local = cluster.check(Path(self.local_path), script, self._start_timeout_s, must_share=False)
            if not local:
                return
            name, why = next(iter(local.items()))
            logger.info(
                "Checkpoints are on the disks of nodes and are copied to %s, since no folder is shared: node %s: %s.",
                self.local_path, name, why,
            )  # fmt: skip
        if self.pass_args_as_json:
            raise ValueError("pass_args_as_json must be False if nodes do not share the folder of configurations")
        self._is_streaming = True
        cluster.order_all({"order": "stream"}, stands=True)  # a node answers it before the probe
        cluster.check(None, script, self._start_timeout_s)

    def _running_cluster(self) -> Cluster:
        """The cluster; connects again if the last tuning has ended, or if this is a copy of another backend."""
        if self._cluster is None or not self._cluster.is_running:
            for device in self._fleet.pool.present:
                self._fleet.pool.lose(device)
            cluster = self._cluster = self._connect()
            names = cluster.start(1 if self._may_scale else self._nominal or self.num_devices, self._start_timeout_s)
            for name in names[: len(self._fleet.pool)]:
                self._fleet.pool.join(name, node_of(name))
            self.devices = Devices(names)
        return self._cluster

    def _connect(self) -> Cluster:
        preload: Sequence[str] = ()
        if self.launch_mode == "warm":
            preload = modules_to_preload(Path(self.entry_point), self._wanted_preload)
        agent = {**self._agent_settings, "grace_s": self.grace_s, "preload": list(preload)}
        settings: dict[str, Any] = {**self._cluster_settings, "agent": agent}
        cluster = Cluster(self._begin_scaling(settings) if self._may_scale else settings)
        cluster.on_join = self._on_join
        cluster.on_lose = self._on_lose
        cluster.on_leave = lambda node, devices: self._fleet.devices.retire(devices, f"node {node} is to go")
        cluster.on_disk = self._on_disk
        return cluster

    def _on_lose(self, node: str, devices: Sequence[str], reason: str) -> None:
        self._full.discard(node)
        self._fleet.pool.shut(node, is_shut=False)  # another agent looks at its disk again
        self._fleet.devices.lose(devices, f"node {node} is lost: {reason}")

    def _on_disk(self, node: str, message: Mapping[str, Any]) -> None:
        free_mb, least_mb = float(message["free_mb"]), float(message["min_free_mb"])
        if message["is_full"] != (node in self._full):
            text = f"{free_mb:.0f} MB can be written to {message['folder']} on node {node}"
            if message["is_full"]:
                self._full.add(node)
                reason = f"{text}, but a launch needs {least_mb:.0f} MB (min_free_mb)"
                logger.warning("%s: nothing is launched there until there is room; running trials continue.", reason)
            else:
                self._full.discard(node)
                reason = text
                logger.info("%s: it is used again.", reason)
            self._fleet.devices.shut(node, message["is_full"], reason, free_mb=free_mb)
        if message["is_tight"] and self._streams is not None:
            self._streams.spare(node)

    def _is_arriving(self, trial_id: int) -> bool:
        return (streams := self._streams) is not None and not streams.is_settled(str(trial_id))

    def _on_join(self, node: str, devices: Sequence[str]) -> None:
        wanted = None if self._request is None else self._request.wanted
        if isinstance(wanted, int):  # somebody has given devices back
            devices = devices[: max(0, wanted - self._fleet.pool.num_present)]
        self._fleet.devices.join(devices, node, f"node {node} is there")

    def _may_join(self, devices: Sequence[str]) -> Sequence[str]:
        """Those of the devices that are on nodes which are there."""
        known = {} if self._cluster is None else self._cluster.nodes.copy()
        nodes = {name: node for name, node in known.items() if name not in self._returning}
        return tuple(device for device in devices if node_of(device) in nodes and nodes[node_of(device)].is_in)

    def _give_back(self, devices: Sequence[str]) -> None:
        """The agents keep them reserved for this experiment: nothing is locked on this machine."""

    def _look_at_gpus(self) -> None:
        """Trials do not use the GPUs of this machine."""

    def _start_clock(self) -> None:
        super()._start_clock()
        if self._cluster is not None:
            self._cluster.let_through()  # earlier events of nodes are written after the event "setup"

    def _make_launcher(self, **callbacks: Any) -> Any:
        callbacks["on_exit"] = self._attention.telling(callbacks["on_exit"])
        del callbacks["on_left"]  # single ranks never leave: each resize is a relaunch
        cluster = self._running_cluster()
        self._streams = None
        if self._is_streaming:
            streams = self._streams = CheckpointStreams(cluster.send, self._on_settled)
            streams.home = hashlib.sha256(str(self.local_path).encode()).hexdigest()[:12]
            cluster.on_copied, cluster.on_broken = streams.hear, streams.lose_gateway
        return ClusterLauncher(cluster, streams=self._streams, **callbacks)

    def _spec(self, trial: Any, devices: tuple[str, ...]) -> ClusterSpec:
        nodes = {} if self._cluster is None else self._cluster.nodes
        of_rank_0 = nodes.get(parts_of(devices, self._per_device)[0].node)
        trial.reports.stream.clock_ahead_s = 0.0 if of_rank_0 is None else of_rank_0.ahead_s
        ranks = rank_specs(trial.stdout_path, trial.stderr_path, len(devices) if self._per_device else 1)
        return ClusterSpec(
            trial.argv, ranks, self.launch_mode == "warm", self.grace_s, working_directory(), devices=devices,
            per_device=self._per_device,
        )  # fmt: skip

    def _set_checkpoint_paths(self) -> None:
        super()._set_checkpoint_paths()
        if self._cluster is not None:
            self._cluster.is_checked = False  # that they share another folder
        if self._checkpoint_path is not None:
            self._checkpoints.room.folder = self._checkpoint_path
