"""Every notebook runs in an empty folder; the stored ones have the cells of their sources, and good outputs."""

from __future__ import annotations

import ast
import base64
import gzip
import importlib.util
import re
import struct
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

MOST_BYTES = 600_000


def name_of(path: Path) -> str:
    return path.stem


def test_there_are_the_five_notebooks():
    of_hypersched = {"HyperSched-Deadlines", "HyperSched-Eight-Slots", "LeNet-Fashion-MNIST"}
    assert {path.stem for path in execute.sources()} == {*of_hypersched, "PASHA-NB201-Full", "PASHA-NB201-Summary"}


#: Their trials train in real time, or the tests of comparison.pasha_tables run the same protocol anyway.
SLOW = ("HyperSched-Eight-Slots", "LeNet-Fashion-MNIST", "PASHA-NB201-Full", "PASHA-NB201-Summary")


@pytest.mark.parametrize(
    "source",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in SLOW else ()) for path in execute.sources()],
    ids=name_of,
)
def test_a_notebook_runs(source):
    with warnings.catch_warnings():
        # The libraries that run the kernel warn of each other.
        warnings.simplefilter("ignore")
        notebook = execute.execute(source, quick=True, timeout_s=1500)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not [output.text for cell in code for output in cell.outputs if output.get("name") == "stderr"]
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


def outputs_of(name):
    """The outputs of a stored notebook."""
    stored = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    return [output for cell in stored.cells for output in cell.get("outputs", [])]


def texts_of(output):
    """What an output shows, but for pictures."""
    data = output.get("data", {})
    texts = [output.get("text", ""), *(str(value) for kind, value in data.items() if not kind.startswith("image/"))]
    return "\n".join([*texts, *output.get("traceback", [])])


@pytest.mark.parametrize("source", execute.sources(), ids=name_of)
def test_what_is_stored_shows_no_path_no_warning_and_no_traceback(source):
    outputs = outputs_of(source.stem)
    assert outputs
    for output in outputs:
        assert output.get("name") != "stderr", output.text
        text = texts_of(output)
        assert not re.search(r"(?<![\w/.])/(?:tmp|work|root|home|usr|opt|var|Users)/", text), text
        assert not re.search(r"\bwarning\b|Traceback", text, re.IGNORECASE), text


@pytest.mark.parametrize("source", execute.sources(), ids=name_of)
def test_pictures_can_be_read_as_wide_as_a_page(source):
    # A picture that is much wider than the page is made smaller by the browser, and its letters with it.
    for output in outputs_of(source.stem):
        picture = output.get("data", {}).get("image/png")
        if picture:
            width, height = struct.unpack(">II", base64.b64decode(picture)[16:24])
            assert 600 <= width <= 1400
            assert 200 <= height <= 1400
            assert "inches" not in output.metadata
    for figure in re.findall(r"dpi(?:=|\()(\d+)", source.read_text(encoding="utf-8")):
        assert int(figure) >= 100


@pytest.mark.parametrize("source", execute.sources(), ids=name_of)
def test_a_notebook_needs_nothing_but_installed_packages(source):
    code = "\n".join(
        re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE)
        for cell in jupytext.read(source).cells
        if cell.cell_type == "code"
    )
    imported = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.partition(".")[0])
    assert imported - set(sys.stdlib_module_names) <= INSTALLED
    assert "sys.path" not in code
    assert "chdir" not in code
    assert ".style" not in code, "it needs jinja2, which pandas does not install"


#: What `pip install 'syne-hypersched[demo]' nbclient ipykernel` installs.
INSTALLED = {"IPython", "matplotlib", "numpy", "pandas", "sklearn", "syne_hypersched", "syne_tune", "torch"}


def test_the_published_rules_are_called_by_their_name():
    shown = "\n".join(map(texts_of, outputs_of("HyperSched-Deadlines")))
    assert "hypersched-published" in shown
    assert "hypersched-adaptive" not in shown
    source = (NOTEBOOKS / "HyperSched-Deadlines.py").read_text(encoding="utf-8")
    assert "`hypersched` is the **adaptive** strategy, the default" in source


def test_the_run_on_eight_slots_ends_on_all_of_them():
    shown = "\n".join(map(texts_of, outputs_of("HyperSched-Eight-Slots")))
    assert "there are 8 devices" in shown
    assert re.search(r"resize trial \d+: grows from \d+ to 8 devices", shown)
    assert " 0 violations" in shown


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
def data_cell():
    """Executes the cell of LeNet-Fashion-MNIST that loads the data, and returns what it defines."""
    (cell,) = [
        cell.source
        for cell in jupytext.read(NOTEBOOKS / "LeNet-Fashion-MNIST.py").cells
        if "def load_data" in cell.source
    ]

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
