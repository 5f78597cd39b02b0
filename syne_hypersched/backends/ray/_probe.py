"""Checks whether a node has what trials need: the tuner sends a probe, and the node's agent answers."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path

from syne_hypersched.backends.ray._messages import Message


class Probe:
    """The tuner's side.

    Parameters
    ----------
    folder
        The folder that should be shared, which is made; None without one.
    script
        The script, which must exist on all nodes.
    modules
        Files beside it, which must exist as well.

    Attributes
    ----------
    order
        The question to agents.
    """

    def __init__(self, folder: Path | None, script: Path, modules: Sequence[Path] = ()) -> None:
        place = None
        token = uuid.uuid4().hex
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix=".probe-", dir=folder))
            (place / "token").write_text(token)
            # A later node looks for the same file, which exists as long as the probe.
            weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        self.order: Message = {
            "order": "probe", "probe": token, "folder": None if place is None else str(place), "token": token,
            "script": str(script), "sha256": _digest(script),
            "modules": {os.path.relpath(path, script.resolve().parent): _digest(path) for path in modules},
        }  # fmt: skip
        self._answers: dict[str, Message] = {}

    def hear(self, node: str, message: Message) -> bool:
        """A node has answered a probe; returns whether it was this one."""
        if message["probe"] != self.order["probe"]:
            return False
        self._answers[node] = message
        return True

    def is_answered(self, node: str) -> bool:
        """Whether a node has answered."""
        return node in self._answers

    def problems(self, nodes: Sequence[str]) -> dict[str, str]:
        """Why some of the nodes cannot take part, in words."""
        said = {node: self._answers[node]["error"] if node in self._answers else "it does not answer" for node in nodes}
        return {node: problem for node, problem in said.items() if problem}

    def not_sharing(self, nodes: Sequence[str]) -> dict[str, str]:
        """Which of the nodes could take part if they shared the folder, and why they do not."""
        problems = self.problems(nodes)
        return {n: text for n, text in problems.items() if n in self._answers and not self._answers[n]["is_shared"]}


def answer(order: Message, search_path: str = "") -> Message:
    """The agent's side: why its node cannot take part, ``error``, and whether it shares the folder, ``is_shared``.

    Parameters
    ----------
    order
        What is asked.
    search_path
        ``PYTHONPATH`` of trials.
    """
    problem = _why_not_script(Path(order["script"]), order["sha256"], order["modules"], search_path)
    if problem:
        return {"error": problem, "is_shared": True}
    if order["folder"] is None:
        return {"error": "", "is_shared": False}
    folder = Path(order["folder"])
    try:
        if (folder / "token").read_text() != order["token"]:
            return {"error": f"its {folder.parent} is another folder than the tuner's", "is_shared": False}
        (folder / f"answer-{os.getpid()}").touch()
    except OSError as error:
        return {"error": f"{folder.parent} is not there or not writable ({error.strerror})", "is_shared": False}
    return {"error": "", "is_shared": True}


def _why_not_script(script: Path, sha256: str, modules: dict[str, str], search_path: str) -> str:
    """Why the script would not run here as at the tuner; empty if no reason is known."""
    try:
        if _digest(script) != sha256:
            return f"its {script} is another one than the tuner's"
    except OSError as error:
        return f"it has no {script} ({error.strerror})"
    for name, digest in modules.items():
        path = script.resolve().parent / name
        try:
            if _digest(path) != digest:
                return f"its {path}, which the script imports, is another one than the tuner's"
        except OSError as error:
            if not _is_installed(Path(name).parts[0].removesuffix(".py"), search_path):
                return f"it has no {path}, which the script imports ({error.strerror})"
    return ""


def _is_installed(module: str, search_path: str) -> bool:
    """Whether a module that is not beside the script can be imported, without importing it."""
    places = [Path(folder, module) for folder in search_path.split(os.pathsep) if folder]
    if any(place.is_dir() or place.with_name(f"{module}.py").is_file() for place in places):
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
