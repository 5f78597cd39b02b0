"""The steps of a rank before its script begins, and ranks that cannot begin or that prevent their own end."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.mark.parametrize(
    ("text", "last_line"),
    [
        ("import sys; sys.excepthook = lambda *_: 1 / 0; raise KeyError('x')", "KeyError: 'x'"),
        ("import sys; sys.stderr = None; sys.exit('unheard')", None),
        ("class Silent:\n    def __str__(self):\n        1 / 0\nraise SystemExit(Silent())", None),
    ],
)
def test_a_script_that_breaks_its_own_end_still_ends(launches, text, last_line):
    assert launches.run([launches.script(text)]).exit_code == 1
    if last_line is not None:
        assert launches.lines("err0")[-1] == last_line


def test_a_script_finds_nothing_of_the_server_below_it(launches):
    script = launches.script("import inspect; print([frame.filename for frame in inspect.stack()][:1])\nprint(1 / 0)")
    assert launches.run([script]).exit_code == 1
    assert launches.lines("out0") == [f"['{script}']"]
    assert "syne_hypersched" not in "\n".join(launches.lines("err0"))


def test_what_is_printed_before_the_fork_is_printed_once(make_launches, monkeypatch):
    launches = make_launches(preload=["chatty"])
    monkeypatch.setenv("PYTHONPATH", str(launches.folder))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    (launches.folder / "chatty.py").write_text(
        'import ctypes\nprint("from Python")\nctypes.CDLL(None).printf(b"from C\\n")\n'
    )
    assert launches.run([launches.script("import chatty, sys; print('own', sys.stdout.tell())")]).exit_code == 0
    assert launches.lines("out0") == ["own 0"]
    assert sorted(launches.lines("server.log")) == ["from C", "from Python"]


@pytest.mark.slow
def test_lightning_knows_its_rank_when_it_is_preloaded(make_launches, monkeypatch):
    pytest.importorskip("lightning_utilities")
    path = Path(__file__).parents[1] / "integrations" / "path"
    monkeypatch.setenv("PYTHONPATH", str(path))
    launches = make_launches(preload=["torch", "lightning"])
    script = launches.script(
        """
        import sys
        print("lightning" in sys.modules)
        from lightning.pytorch.utilities.rank_zero import rank_zero_only
        print(rank_zero_only.rank)
        """
    )
    assert launches.run([script], num_ranks=2).exit_code == 0, launches.lines("err0")
    assert launches.lines("out0") == ["True", "0"]
    assert launches.lines("out1") == ["True", "1"]
