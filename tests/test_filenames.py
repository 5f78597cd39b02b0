from __future__ import annotations

import pytest

from syne_hypersched.filenames import RANK_LOG, STDERR_FILENAME, STDOUT_FILENAME, rank_log_name


@pytest.mark.parametrize(
    ("name", "rank", "log"),
    [
        (STDOUT_FILENAME, 0, "std.out"), (STDOUT_FILENAME, 1, "std.rank1.out"), (STDERR_FILENAME, 12, "std.rank12.err"),
        ("a.b.log", 2, "a.b.rank2.log"),
    ],
)  # fmt: skip
def test_each_rank_has_a_log_of_its_own(name, rank, log):
    assert rank_log_name(name, rank) == log


def test_the_logs_of_all_ranks_are_known():
    for rank in (0, 1, 10):
        for name in (STDOUT_FILENAME, STDERR_FILENAME):
            assert RANK_LOG.fullmatch(rank_log_name(name, rank))
    for other in ("std.log", "std.rank.out", "std.rank1.log", "mystd.out", "std_out", "std.out.gz", "std.rankx.err"):
        assert not RANK_LOG.fullmatch(other), other
