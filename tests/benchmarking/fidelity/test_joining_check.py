"""Devices that join a real training, and the same in the simulator."""

from __future__ import annotations

import pytest

from benchmarking.fidelity import joining_check
from benchmarking.fidelity.joining_check import Timed, epoch_times, predict
from syne_hypersched import LaunchCost


def test_the_simulator_trains_on_while_a_device_gets_ready():
    cost = LaunchCost(prepare_s=15.0, join_s=1.0)
    times, devices = predict({1: 2, 4: 1}, 5, {1: 10.0, 2: 5.0}, cost)
    # 15 s after the first report half of the third epoch is trained; the other half takes 1 + 2.5 s.
    assert times == pytest.approx([0.0, 10.0, 18.5, 23.5, 34.5])
    assert devices == [1, 1, 2, 2, 1]


def test_epochs_are_timed_in_which_no_device_comes_or_goes():
    steps = [(-1.0, 1, 0.5), (1.0, 1, 0.5), (2.0, 1, 0.5), (2.5, 1, 0.5), (3.0, 2, 0.5), (4.0, 2, 0.5)]
    training = Timed([0.0, 2.0, 3.0, 4.0], [1, 1, 2, 2], steps, [], [], [])
    assert epoch_times(training) == {1: 2.0, 2: 1.0}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("no_process_left")
def test_real_devices_join_where_the_simulator_has_them_join(tmp_path):
    pytest.importorskip("torch")
    plan = {2: 2, 6: 1}
    training = joining_check.train(tmp_path / "real", plan, 8, 0.0, 0.003, "in_place")
    assert len(training.prepare_s) == 1
    assert len(training.pause_s) == 2
    cost = LaunchCost(prepare_s=training.prepare_s[0], join_s=max(training.pause_s))
    times, devices = predict(plan, 8, {1: 2.0, 2: 1.0}, cost)
    assert training.num_devices[:2] == devices[:2] == [1, 1]
    assert training.num_devices[-1] == devices[-1] == 1
    assert sorted(times) == times
    joining_check.draw(tmp_path / "joining.png", training, training)
    assert (tmp_path / "joining.png").stat().st_size > 10_000
