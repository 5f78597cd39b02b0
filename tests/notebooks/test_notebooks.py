"""Every notebook runs on the offline path with few seeds, and what is stored is what its source says."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_spec = importlib.util.spec_from_file_location("execute", NOTEBOOKS / "execute.py")
execute = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)

MOST_BYTES = 400_000


def name_of(path: Path) -> str:
    return path.stem


def test_there_are_the_three_notebooks():
    names = {path.stem for path in execute.sources()}
    assert names == {"HyperSched-Deadlines", "PASHA-NB201-Full", "PASHA-NB201-Summary"}


@pytest.mark.parametrize("source", execute.sources(), ids=name_of)
def test_a_notebook_runs(source):
    with warnings.catch_warnings():
        # The libraries that run the kernel warn of each other.
        warnings.simplefilter("ignore")
        notebook = execute.execute(source, quick=True, timeout_s=100)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    pictures = [output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})]
    tables = [output for cell in code for output in cell.outputs if "text/html" in output.get("data", {})]
    assert pictures or tables


@pytest.mark.parametrize("source", execute.sources(), ids=name_of)
def test_what_is_stored_is_small_and_of_this_source(source):
    path = source.with_suffix(".ipynb")
    assert path.stat().st_size < MOST_BYTES
    stored, written = nbformat.read(path, as_version=4), jupytext.read(source)
    assert [(cell.cell_type, cell.source) for cell in stored.cells] == [
        (cell.cell_type, cell.source) for cell in written.cells
    ]
    assert not [output for cell in stored.cells for output in cell.get("outputs", []) if output.output_type == "error"]


@pytest.mark.parametrize("name", ["PASHA-NB201-Full", "PASHA-NB201-Summary"])
def test_every_table_on_the_stand_in_says_that_it_is_synthetic(name):
    stored = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    tables = [
        output["data"].get("text/html", "")
        for cell in stored.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    captions = [table.split("<caption>")[1].split("</caption>")[0] for table in tables if "<caption>" in table]
    assert captions
    if "SYNTHETIC" in str(stored.cells[1].outputs):
        assert all(caption.startswith("SYNTHETIC") for caption in captions)
