"""Executes the notebooks: reads NAME.py (the source, in cells marked by ``# %%``) and writes NAME.ipynb with its outputs.

    python notebooks/execute.py                       # all of them, in full: some minutes
    python notebooks/execute.py HyperSched-Deadlines --quick --output /tmp

With ``--quick`` fewer seeds are run, as in the tests.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
QUICK_VARIABLE = "SYNE_HYPERSCHED_QUICK"


def sources() -> list[Path]:
    """The notebooks."""
    return sorted(path for path in FOLDER.glob("*.py") if path != Path(__file__).resolve())


def execute(source: Path, quick: bool = False, timeout_s: float = 1800.0) -> nbformat.NotebookNode:
    """The notebook with its outputs; it runs in an empty folder, and needs nothing but installed packages."""
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    os.environ[QUICK_VARIABLE] = "1" if quick else "0"
    # Cells are numbered rather than named at random, so that a second execution gives the same file.
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index}"
    with tempfile.TemporaryDirectory(prefix="notebook-") as empty:
        NotebookClient(notebook, timeout=timeout_s, resources={"metadata": {"path": empty}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("language_info", None)
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="names without .py (default: all)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=FOLDER)
    args = parser.parse_args()
    for source in [FOLDER / f"{name}.py" for name in args.names] or sources():
        path = args.output / source.with_suffix(".ipynb").name
        nbformat.write(execute(source, args.quick), path)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
