"""Runs the command as ``python -m syne_hypersched.cli``."""

from __future__ import annotations

import sys

from syne_hypersched.cli._app import run

if __name__ == "__main__":
    sys.exit(run())
