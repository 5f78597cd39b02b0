"""What to launch, and how a launch ended: plain values that are sent between processes as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from syne_hypersched.checkpoints import CheckpointSpec, Ending
from syne_hypersched.contract import EXIT_DRAINED


@dataclass(frozen=True)
class RankSpec:
    """One process of a launch.

    .. code-block:: python

        RankSpec(env={**os.environ, "RANK": "0"}, stdout="std.out", stderr="std.err", cores=(0, 1))
    """

    env: dict[str, str]
    """The complete environment of the process; nothing is inherited."""
    stdout: str
    """File to which standard output is appended."""
    stderr: str
    """File to which standard error is appended."""
    cores: tuple[int, ...] = ()
    """CPU cores to which the process is pinned; empty: not pinned."""


@dataclass(frozen=True)
class LaunchSpec:
    """One start of a trial's processes.

    .. code-block:: python

        rank = RankSpec(env=dict(os.environ), stdout="std.out", stderr="std.err")
        LaunchSpec(("train.py", "--lr", "0.1"), (rank,), warm=True, grace_s=10.0)
        LaunchSpec(("/usr/bin/perl", "train.pl"), (rank,), warm=False, grace_s=10.0)
    """

    argv: tuple[str, ...]
    """Cold: program and arguments. Warm: Python script and arguments. No shell is involved."""
    ranks: tuple[RankSpec, ...]
    """One entry for each process."""
    warm: bool
    """Whether ``argv[0]`` is a Python script to be run in a fork of the preloading server."""
    grace_s: float
    """Seconds from SIGTERM to SIGKILL when the launch is drained by the end of the tuner or the server."""
    cwd: str | None = None
    """Working directory; ``None``: the server's."""
    checkpoints: CheckpointSpec | None = None
    """How checkpoints are handled; ``None``: not at all."""

    def to_json(self, base_env: dict[str, str]) -> dict[str, Any]:
        """The spec as plain JSON types, environments as differences to ``base_env`` so that a message stays small."""
        data = asdict(self)
        for rank in data["ranks"]:
            env = rank.pop("env")
            rank["set"] = {key: value for key, value in env.items() if base_env.get(key) != value}
            rank["unset"] = [key for key in base_env if key not in env]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any], base_env: dict[str, str]) -> LaunchSpec:
        """Inverse of :meth:`to_json` for the same ``base_env``."""
        ranks = []
        for rank in data["ranks"]:
            env = {key: value for key, value in base_env.items() if key not in rank["unset"]} | rank["set"]
            fields = {key: value for key, value in rank.items() if key not in ("set", "unset")}
            ranks.append(RankSpec(**{**fields, "env": env, "cores": tuple(rank["cores"])}))
        checkpoints = None if data["checkpoints"] is None else CheckpointSpec(**data["checkpoints"])
        return cls(**{**data, "argv": tuple(data["argv"]), "ranks": tuple(ranks), "checkpoints": checkpoints})


@dataclass(frozen=True)
class LaunchExit:
    """How a launch ended. When this is known, its last process has been reaped.

    .. code-block:: python

        def on_exit(launch, exit, time):
            if exit.exit_code == 0 and not exit.drained:
                print("launch", launch, "has completed")
    """

    exit_codes: tuple[int | None, ...]
    """Exit code of each rank as in :mod:`subprocess` (``-n``: died of signal n); ``None``: not known."""
    first_failed: int | None
    """The rank that failed first; its log has the reason. ``None`` if no rank failed by itself."""
    drained: bool
    """Whether it had been asked to exit."""
    killed: bool
    """Whether it was killed: the grace period ended, or another rank had failed."""
    lost: bool = False
    """Whether the launch was ended because the preloading server died."""
    error: str = ""
    """Why no process could be started; empty: one was started."""
    checkpoints: Ending | None = None
    """The state of the checkpoint folder; ``None``: it was not watched, or its supervisor was killed."""
    num_left: int = 0
    """Number of processes in the background that were killed after the last rank had ended."""

    @property
    def exit_code(self) -> int | None:
        """The exit code of the rank that failed first, else the first one that is not 0, else 0."""
        if self.first_failed is not None:
            return self.exit_codes[self.first_failed]
        return next((code for code in self.exit_codes if code != 0), 0) if self.exit_codes else None

    @property
    def has_left(self) -> bool:
        """Whether the ranks have checkpointed and left on SIGTERM, as an elastic training script does.

        Some may have left earlier, when the trial continued on fewer devices.
        """
        return EXIT_DRAINED in self.exit_codes and all(code in (0, EXIT_DRAINED) for code in self.exit_codes)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LaunchExit:
        """The exit from the supervisor's message."""
        ending = data.get("checkpoints")
        checkpoints = None if ending is None else Ending(**ending)
        return cls(**{**data, "exit_codes": tuple(data["exit_codes"]), "checkpoints": checkpoints})

    def to_json(self) -> dict[str, Any]:
        """The message that :meth:`from_json` reads."""
        return asdict(self)


def working_directory() -> str | None:
    """The working directory of this process. None if it was removed; processes then start in the server's directory."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def encode(message: dict[str, Any]) -> bytes:
    """One line of the protocol between launcher, server and supervisors."""
    return json.dumps(message).encode() + b"\n"


class LineBuffer:
    """Splits a stream of bytes into messages."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Adds ``data`` and returns the messages that are complete now."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        return [json.loads(line) for line in lines if line]
