"""Files that say what they are of, with a checksum of all their bytes, so that torn and mixed ones are recognised.

Used by ``checkpoint_writers.py`` and its parts.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_BLOCK_BYTES = 1 << 16
CHECKSUM_BYTES = 8


class TornError(Exception):
    """What a script loads is not whole."""


@dataclass(frozen=True)
class Identity:
    """What a checkpoint is of."""

    x: float
    """The trial, by its configuration."""
    launch: int
    """How often the trial's script had begun when it was written, counted from 0."""
    epoch: int
    role: str = "model"
    """The part that a file plays in a checkpoint of several."""
    size: int = 0
    """Bytes of its body."""


def sealed(identity: Identity) -> Iterator[bytes]:
    """The content of a file, in pieces."""
    header = json.dumps(asdict(identity)).encode() + b"\n"
    block = hashlib.shake_128(header).digest(_BLOCK_BYTES)
    checksum = zlib.crc32(header)
    yield header
    for begin in range(0, identity.size, _BLOCK_BYTES):
        piece = block[: identity.size - begin]
        checksum = zlib.crc32(piece, checksum)
        yield piece
    yield b"%08x" % checksum


def unsealed(path: Path) -> Identity:
    """What a file is of.

    Raises
    ------
    TornError
        It is empty, short, too long, or holds bytes of another file.
    """
    try:
        with open(path, "rb") as file:
            header = file.readline(4096)
            if not header:
                raise TornError(f"{path.name} is empty")
            try:
                identity = Identity(**json.loads(header))
            except (ValueError, TypeError):
                raise TornError(f"{path.name} has no header") from None
            expected = len(header) + identity.size + CHECKSUM_BYTES
            actual = os.fstat(file.fileno()).st_size
            if actual != expected:
                raise TornError(f"{path.name} of epoch {identity.epoch} has {actual} bytes of {expected}")
            checksum, left = zlib.crc32(header), identity.size
            while left and (piece := file.read(min(left, 1 << 20))):
                checksum, left = zlib.crc32(piece, checksum), left - len(piece)
            if file.read() != b"%08x" % checksum:
                raise TornError(f"{path.name} of epoch {identity.epoch} does not have its checksum")
    except FileNotFoundError:
        raise TornError(f"{path.name} is missing") from None
    return identity


def same(identities: Sequence[Identity]) -> Identity:
    """The identity that files of one checkpoint share.

    Raises
    ------
    TornError
        They are of different saves.
    """
    first = identities[0]
    for other in identities[1:]:
        if (other.x, other.launch, other.epoch) != (first.x, first.launch, first.epoch):
            raise TornError(f"{first.role} is of epoch {first.epoch}, and {other.role} of epoch {other.epoch}")
    return first
