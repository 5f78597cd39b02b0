from __future__ import annotations

from syne_hypersched.comparison.names import folder_name, unknown_name


def test_the_nearest_name_is_offered_only_if_one_is_near():
    assert "did you mean 'pasha'" in str(unknown_name("scheduler", "pahsa", ["asha", "pasha"]))
    assert "did you mean" not in str(unknown_name("scheduler", "xyz", ["asha", "pasha"]))
    assert "did you mean 'grace_period'" in str(unknown_name("option", "grace", ["brackets", "grace_period"]))
    assert "choose from asha, pasha" in str(unknown_name("scheduler", "xyz", ["asha", "pasha"]))


def test_names_of_folders_have_no_dot_and_need_no_quoting():
    assert folder_name("hypersched:policy=top_job") == "hypersched,policy=top_job"
    assert folder_name("0.5x") == "0_5x"
    assert folder_name("1%") == "1pct"
    assert folder_name("a b/c") == "a_b_c"
