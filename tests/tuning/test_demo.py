from __future__ import annotations

import json

import pytest

from syne_hypersched.tuning import demo_job, demo_script
from tests.forked import ForkedPython


@pytest.fixture
def forked_sklearn():
    """Runs Python programs that need not import scikit-learn anew."""
    python = ForkedPython(["sklearn.datasets", "sklearn.model_selection", "syne_tune"])
    yield python
    python.close()


def test_the_space_of_the_demo_has_what_its_script_takes():
    text = demo_script().read_text()
    for entry in demo_job(30.0).space:
        assert f'"--{entry.name}"' in text


def test_a_device_kind_is_passed_on():
    assert (demo_job(30.0, "cpu:3").num_devices, demo_job(30.0).device_type) == (3, "cpu")
    assert (demo_job(30.0).num_devices or 0) >= 2
    with pytest.raises(ValueError, match="--devices"):
        demo_job(30.0, "many")


def test_a_trial_that_goes_on_trains_as_one_that_was_never_interrupted(tmp_path, forked_sklearn):
    def train(folder, epochs):
        arguments = ["--epochs", str(epochs), "--width", "16", "--st_checkpoint_dir", str(tmp_path / folder)]
        ended = forked_sklearn.run([demo_script(), *arguments], tmp_path)
        assert ended.returncode == 0, ended.stderr
        lines = [line.partition("[tune-metric]: ")[2] for line in ended.stdout.splitlines() if "tune-metric" in line]
        return [(report["epoch"], report["val_accuracy"]) for report in map(json.loads, lines)]

    whole = train("whole", 3)
    assert [epoch for epoch, _ in whole] == [1, 2, 3]
    first, after = train("parts", 1), train("parts", 3)
    # What the checkpoint holds is reported again, since the process may have been ended before it was.
    assert after[:1] == first
    assert after == whole
