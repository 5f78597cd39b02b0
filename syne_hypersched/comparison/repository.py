"""What is beside the package in its repository, and is not part of a wheel."""

from __future__ import annotations

from pathlib import Path


def repository() -> Path | None:
    """The repository that this package is imported from; None where it was installed from a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "examples" / "training_scripts").is_dir() else None
