"""The repository of the package, which is not part of a wheel."""

from __future__ import annotations

from pathlib import Path


def repository() -> Path | None:
    """The repository that contains this package; None if the package was installed from a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "examples" / "training_scripts").is_dir() else None
