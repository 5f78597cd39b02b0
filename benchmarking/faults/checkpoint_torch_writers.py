"""Ways in which training scripts write their checkpoints with PyTorch. Used by ``checkpoint_writers.py``."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from benchmarking.faults.checkpoint_seals import CHECKSUM_BYTES, Identity, TornError, sealed
from benchmarking.faults.checkpoint_writer import Writer


class Torch(Writer):
    """``torch.save`` to the path of the old checkpoint."""

    def save(self, folder: Path, identity: Identity) -> None:
        import torch

        torch.save(_state(identity), folder / "model.pt")

    def load(self, folder: Path) -> Identity | None:
        import torch

        path = folder / "model.pt"
        return _identity(torch.load(path, weights_only=True)) if path.exists() else None


class Helpers(Writer):
    """Syne Tune's own helpers, which write in place, and start anew where they cannot load."""

    is_lenient = True

    def save(self, folder: Path, identity: Identity) -> None:
        from syne_tune.utils import checkpoint_model_at_rung_level

        _, save = _syne_tune_functions(_Model(_state(identity)))
        checkpoint_model_at_rung_level({"st_checkpoint_dir": str(folder)}, save, identity.epoch)

    def load(self, folder: Path) -> Identity | None:
        # The helper says 0 for whatever goes wrong; here it is to be known what.
        import torch

        path = folder / "checkpoint.json"
        if not path.exists():
            return None
        state = torch.load(path, weights_only=True)
        identity = _identity(state["st_state_dict_model"])
        if state["st_resource"] != identity.epoch:
            raise TornError(f"epoch {identity.epoch} is stored as {state['st_resource']}")
        return identity


class _Model:
    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    def state_dict(self) -> dict[str, Any]:
        return self._state


def _syne_tune_functions(model: _Model) -> Any:
    from syne_tune.utils import pytorch_load_save_functions

    return pytorch_load_save_functions({"model": model})


def _state(identity: Identity) -> dict[str, Any]:
    import torch

    content = bytearray(b"".join(sealed(identity)))
    return {"content": torch.frombuffer(content, dtype=torch.uint8)}


def _identity(state: dict[str, Any]) -> Identity:
    content = state["content"].numpy().tobytes()
    header, _, _ = content.partition(b"\n")
    identity = Identity(**json.loads(header))
    if content[-CHECKSUM_BYTES:] != b"%08x" % zlib.crc32(content[:-CHECKSUM_BYTES]):
        raise TornError(f"the tensor of epoch {identity.epoch} does not have its checksum")
    return identity
