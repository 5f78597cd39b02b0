"""Compares schedulers under a deadline: ``hypersched compare``, from the repository without installation.

python benchmarking/launch_hpo.py --help
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from syne_hypersched.cli import run

if __name__ == "__main__":
    sys.exit(run(["compare", *sys.argv[1:]]))
