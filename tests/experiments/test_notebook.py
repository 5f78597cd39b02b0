from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from syne_hypersched.experiments._notebook import in_notebook


def test_this_is_no_notebook() -> None:
    assert not in_notebook()


@pytest.mark.parametrize(
    "shell, answer", [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=1), True)]
)
def test_a_kernel_makes_a_notebook(shell: object, answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    assert in_notebook() is answer


CELL = """
from pathlib import Path
from types import SimpleNamespace
from syne_hypersched.experiments import LiveProgress
from syne_hypersched.experiments import _live
_live._DISPLAYS_PER_S = 1e9
scheduler = SimpleNamespace(metric_names=lambda: ["loss"], metric_mode=lambda: "min", time_attr="epoch")
tuner = SimpleNamespace(
    scheduler=scheduler, trial_backend=object(), stop_criterion=SimpleNamespace(deadline_s=60.0),
    tuner_path=Path("run"), tuning_status=SimpleNamespace(wallclock_time=0.0),
)
live = LiveProgress()
live.on_tuning_start(tuner)
for _ in range(5):
    live.on_loop_end()
live.on_tuning_end()
"""


@pytest.mark.slow
def test_a_notebook_has_one_display_that_ends_with_the_result() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    displays = [output for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert len(displays) == 1
    assert displays[0].data["text/plain"].startswith("ended after")
