from __future__ import annotations

from syne_hypersched.cli import main
from syne_hypersched.tuning import demo_script


def test_the_training_script_can_be_copied(tmp_path, capsys):
    path = tmp_path / "train.py"
    assert main(["demo", "--copy", str(path)]) == 0
    assert path.read_bytes() == demo_script().read_bytes()
    assert main(["demo", "--copy", str(path)]) == 2
    assert "must be a new file" in capsys.readouterr().err


def test_the_tuning_can_be_written_as_a_script(tmp_path, capsys):
    path = tmp_path / "launch.py"
    assert main(["demo", "--deadline", "2m", "--devices", "cpu:4", "--write-script", str(path)]) == 0
    assert "Deadline(120.0, trial_backend=backend)" in path.read_text()
    assert "num_devices=4,\n        device_type='cpu',\n" in path.read_text()


def test_bad_input_is_exit_code_2(capsys):
    for arguments in (["--deadline", "soon"], ["--devices", "many"], ["--seed", "-1"]):
        assert main(["demo", *arguments]) == 2
        assert arguments[0] in capsys.readouterr().err
