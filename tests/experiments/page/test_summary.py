from __future__ import annotations

from syne_hypersched.experiments._nodes import Absence
from syne_hypersched.experiments.page._summary import shares_of_time
from syne_hypersched.experiments.page._views import LaunchView


def test_the_shares_of_the_device_time_add_up():
    launches = [
        LaunchView(0, 0, [0, 1], 0.0, train_s=1.0, drain_s=4.0, end_s=5.0, how="drained"),
        LaunchView(1, 0, [2], 0.0, train_s=1.0, end_s=3.0, how="failed"),
        LaunchView(2, 0, [2], 4.0),
    ]
    shares = shares_of_time(launches, 3, 10.0)
    assert shares == {"importing": 2.0 + 6.0, "training": 6.0, "draining": 2.0, "failed": 3.0, "free": 11.0}
    absences = [Absence(("a",), "lost", 5.0, 7.0), Absence(("a", "b"), "drained", 8.5)]
    shares = shares_of_time(launches, 3, 10.0, absences)
    assert (shares["away"], shares["free"], sum(shares.values())) == (5.0, 6.0, 30.0)
