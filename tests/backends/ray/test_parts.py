"""A launch on several nodes: its parts, and its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from syne_hypersched.backends.ray._parts import NodePart, has_failed, lost_part, merged, node_of, parts_of, rank_specs
from syne_hypersched.filenames import rank_log_name
from syne_hypersched.launch import LaunchExit

ONE, TWO = NodePart("b", ("0", "1"), 0, 2), NodePart("a", ("0",), 2, 1)


def left(*codes, **how):
    return LaunchExit(codes, **{"first_failed": None, "drained": False, "killed": False, **how})


def test_the_node_with_most_devices_has_rank_0():
    assert parts_of(("a/0", "b/0", "b/1"), per_device=True) == (ONE, TWO)
    assert parts_of(("a/0", "b/0"), per_device=True)[0].node == "a"


def test_names_of_devices_may_have_slashes():
    assert node_of("n/MIG-GPU-1/2/3") == "n"
    assert parts_of(("n/MIG-GPU-1/2/3",), per_device=True)[0].devices == ("MIG-GPU-1/2/3",)


def test_a_single_process_has_one_rank_on_one_node():
    assert parts_of(("a/0", "a/1"), per_device=False) == (NodePart("a", ("0", "1"), 0, 1),)
    with pytest.raises(ValueError, match="must be of one node"):
        parts_of(("a/0", "b/0"), per_device=False)


def test_an_end_has_the_codes_of_all_ranks():
    exit_ = merged((ONE, TWO), {1: left(7), 0: left(0, 0)}, None)
    assert exit_.exit_codes == (0, 0, 7)
    assert not exit_.drained
    assert not exit_.lost


def test_the_part_that_failed_first_says_why():
    ended = {0: left(-15, -9, drained=True, killed=True), 1: left(3, first_failed=0)}
    exit_ = merged((ONE, TWO), ended, 1)
    assert exit_.first_failed == 2
    assert exit_.exit_code == 3
    assert not exit_.drained
    assert exit_.killed
    assert has_failed(ended[1])
    assert not has_failed(ended[0])


def test_a_launch_that_was_drained_is_drained():
    exit_ = merged((ONE, TWO), {0: left(75, 75, drained=True), 1: left(75, drained=True)}, None)
    assert exit_.has_left
    assert exit_.drained


def test_a_launch_on_a_lost_node_is_lost():
    exit_ = merged((ONE, TWO), {0: left(75, 75, drained=True), 1: lost_part(TWO)}, None)
    assert exit_.lost
    assert exit_.exit_codes == (75, 75, None)
    assert exit_.first_failed is None


def test_ranks_that_fail_because_their_peers_node_is_lost_are_no_failure():
    ended = {0: left(1, 1, first_failed=1), 1: lost_part(TWO)}
    exit_ = merged((ONE, TWO), ended, 0)
    assert exit_.lost
    assert exit_.first_failed is None
    assert exit_.exit_codes == (1, 1, None)


def test_a_part_that_was_never_started_has_no_codes():
    assert merged((ONE, TWO), {0: left(error="cannot fork")}, 0).exit_codes == (None, None, None)


def test_each_rank_has_its_logs_beside_those_of_rank_0():
    first, second = rank_specs(Path("trial/std.out"), Path("trial/std.err"), 2)
    assert (first.stdout, first.stderr) == ("trial/std.out", "trial/std.err")
    assert second.stdout == f"trial/{rank_log_name('std.out', 1)}"
    assert second.stderr == f"trial/{rank_log_name('std.err', 1)}"
