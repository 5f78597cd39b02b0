"""A node as a place of checkpoints: data go from node to node through Ray, not through this process."""

from __future__ import annotations

from typing import Any

from syne_hypersched.backends.ray._messages import Message, pack, unpack
from syne_hypersched.checkpoints.moving import Piece

#: Concurrency group of an agent's methods for checkpoints, and how many of them run at a time.
GROUP, NUM_THREADS = "files", 4
#: Seconds that one step of a copy may take: to put a large checkpoint in place, or to send one message of it.
_PATIENCE_S = 600.0


class NodePlace:
    """See the module, and :class:`~syne_hypersched.backends.ray._carrier.CheckpointPlace` for what the methods do.

    Parameters
    ----------
    ray
        The module.
    agent
        The node's agent.
    """

    def __init__(self, ray: Any, agent: Any) -> None:
        self._ray, self._agent = ray, agent

    def ask(self, question: Message) -> Message:
        """An answer of its depot.

        Raises
        ------
        OSError
            It cannot be done, or the node is gone.
        """
        answer = unpack(self.fetch(self._method("ask").remote(pack(question))))
        if "error" in answer:
            raise OSError(answer["error"])
        return answer

    def read(self, copy: int, group: list[Piece]) -> Any:
        """Begins to read; returns a reference to the bytes."""
        return self._method("read").remote(pack({"copy": copy, "pieces": group}))

    def write(self, copy: int, group: list[Piece], data: Any) -> Any:
        """Begins to write bytes, or the object of another node's reference."""
        return self._method("write").remote(pack({"copy": copy, "pieces": group}), data)

    def wait(self, written: Any) -> None:
        """Waits until something is written.

        Raises
        ------
        OSError
            It cannot be, or a node is gone.
        """
        self.fetch(written)

    def fetch(self, reference: Any) -> bytes:
        """The bytes that a reference refers to.

        Raises
        ------
        OSError
            They cannot be had.
        """
        try:
            return bytes(self._ray.get(reference, timeout=_PATIENCE_S))
        except self._ray.exceptions.RayError as error:
            raise OSError(str(error).strip().splitlines()[-1]) from None

    def _method(self, name: str) -> Any:
        return getattr(self._agent, name).options(concurrency_group=GROUP)
