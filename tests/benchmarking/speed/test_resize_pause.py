from __future__ import annotations

import pytest

pytest.importorskip("torch")

from benchmarking.speed import resize_pause


@pytest.mark.slow
def test_each_change_has_a_pause(capsys):
    resize_pause.main(["--parameters", "1000", "--setup", "0", "--changes", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["in_place", "relaunch"]
    assert "nan" not in lines[1] + lines[2]
