"""The simulator against real processes, with the script and the tuning of the benchmark."""

from __future__ import annotations

import pytest

from benchmarking.simulator_check import measure_launch_cost, report_times, run_real, run_simulated

pytestmark = pytest.mark.usefixtures("no_process_left")


@pytest.fixture
def outcomes(tmp_path, request):
    deadline_s = request.param
    launch_cost = measure_launch_cost(tmp_path)
    return run_real(tmp_path, deadline_s), run_simulated(launch_cost, deadline_s)


@pytest.mark.parametrize("outcomes", [8.0], indirect=True)
def test_every_decision_is_that_of_real_processes(outcomes):
    real, simulated = outcomes
    assert simulated.by_trial() == real.by_trial()
    assert simulated.by_report() == real.by_report()
    decided = [what for decisions in real.by_trial().values() for what, _ in decisions]
    assert {what: decided.count(what) for what in ("start", "resume", "resize", "pause", "close")} == {
        "start": 7,
        "resume": 1,
        "resize": 3,
        "pause": 7,
        "close": 1,
    }
    assert len(report_times(real, simulated)) == len(simulated.results) == 41


@pytest.mark.slow
@pytest.mark.parametrize("outcomes", [32.0], indirect=True)
def test_every_report_comes_within_five_per_cent_of_its_time(outcomes):
    real, simulated = outcomes
    assert simulated.by_report() == real.by_report()
    times = report_times(real, simulated)
    assert ((times.simulated_s - times.real_s) / times.real_s).abs().max() <= 0.05
