"""Every notebook runs on the offline path with few seeds, and the stored notebook has the cells of its source."""

from __future__ import annotations

import gzip
import importlib.util
import sys
import warnings
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_spec = importlib.util.spec_from_file_location("execute", NOTEBOOKS / "execute.py")
execute = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)

MOST_BYTES = 400_000


def name_of(path: Path) -> str:
    return path.stem


def test_there_are_the_four_notebooks():
    names = {path.stem for path in execute.sources()}
    assert names == {"HyperSched-Deadlines", "LeNet-Fashion-MNIST", "PASHA-NB201-Full", "PASHA-NB201-Summary"}


#: Its trials train in real time.
SLOW = "LeNet-Fashion-MNIST"


@pytest.mark.parametrize(
    "source",
    [pytest.param(path, marks=pytest.mark.slow if path.stem == SLOW else ()) for path in execute.sources()],
    ids=name_of,
)
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


def captions_of(notebook):
    tables = [
        output["data"].get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    return [table.split("<caption>")[1].split("</caption>")[0] for table in tables if "<caption>" in table]


@pytest.mark.parametrize(
    "name, word",
    [("PASHA-NB201-Full", "SYNTHETIC"), ("PASHA-NB201-Summary", "SYNTHETIC"), ("LeNet-Fashion-MNIST", "STAND-IN")],
)
def test_every_table_on_the_stand_in_says_so(name, word):
    stored = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    captions = captions_of(stored)
    assert captions
    if word in str(stored.cells[1].outputs):
        assert all(caption.startswith(word) for caption in captions)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def data_cell(monkeypatch):
    """Executes the cell of LeNet-Fashion-MNIST that loads the data, and returns what it defines."""
    (cell,) = [
        cell.source
        for cell in jupytext.read(NOTEBOOKS / "LeNet-Fashion-MNIST.py").cells
        if "def load_data" in cell.source
    ]
    monkeypatch.chdir(NOTEBOOKS.parent)
    monkeypatch.setattr(sys, "path", sys.path[:])

    def execute_cell():
        defined = {}
        exec(cell.replace("%matplotlib inline", ""), defined)
        return defined

    return execute_cell


def test_lenet_takes_the_files_that_are_given_by_path(data_cell, tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (60, 28, 28), np.uint8), generator.integers(0, 10, 60, np.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", labels)
    monkeypatch.setenv("SYNE_HYPERSCHED_FASHION_MNIST", str(tmp_path))
    defined = data_cell()
    assert tmp_path.name in defined["DATA"]
    assert "STAND-IN" not in defined["DATA"]
    parts = [part.tensors for part in (defined["train_data"], defined["val_data"])]
    assert [len(part) for part, _ in parts] == [50, 10]
    np.testing.assert_array_equal(np.concatenate([part.numpy() for part, _ in parts])[:, 0], images)
    np.testing.assert_array_equal(np.concatenate([part.numpy() for _, part in parts]), labels)


def test_lenet_without_files_has_a_stand_in_of_the_same_form_and_names_it(data_cell, monkeypatch):
    monkeypatch.delenv("SYNE_HYPERSCHED_FASHION_MNIST", raising=False)
    defined = data_cell()
    assert defined["DATA"].startswith("STAND-IN")
    images, labels = defined["train_data"].tensors
    assert images.shape == (1497, 1, 28, 28)
    assert str(images.dtype) == "torch.uint8"
    assert images.max() > 200, "the whole range of a byte is used"
    assert sorted(set(labels.tolist())) == list(range(10))
