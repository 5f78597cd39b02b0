"""The last stretch: size, length, start and number of survivors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.allocation import stretch
from syne_hypersched.allocation.scaling import PUBLISHED_SCALING, LinearScaling, TableScaling

RESNET50 = TableScaling(PUBLISHED_SCALING["resnet50"])
POOR = TableScaling({1: 1, 2: 1.5, 4: 2, 8: 2.4})
FAST = stretch.Shares(size=8, speed_up=5.0, number=1)


class TestFullSize:
    @pytest.mark.parametrize(
        ("num_devices", "size", "number"), [(1, 1, 1), (2, 2, 1), (7, 7, 1), (8, 8, 1), (20, 8, 2), (1000, 8, 125)]
    )
    def test_as_many_as_there_are_up_to_eight_where_scaling_is_good(self, num_devices, size, number):
        assert stretch.full_size(RESNET50, num_devices) == (size, RESNET50.speed_up(size), number)

    def test_no_device_that_does_less_than_half_of_its_work(self):
        assert stretch.full_size(POOR, 8) == (4, 2.0, 2)

    def test_one_device_where_more_do_not_help(self):
        assert stretch.full_size(TableScaling({1: 1, 2: 0.9, 8: 0.8}), 8) == (1, 1.0, 8)


class TestBegins:
    def test_at_half_of_a_short_deadline(self):
        assert not stretch.begins(51.0, 100.0, 1000.0, FAST, 0.0)
        assert stretch.begins(50.0, 100.0, 1000.0, FAST, 0.0)

    def test_when_a_full_run_at_full_size_is_just_possible_before_a_long_one(self):
        length_s = stretch.length_s(1000.0, 5.0)
        assert length_s == pytest.approx(1.5 * 200 * 0.64)
        assert not stretch.begins(length_s + 1, 10_000.0, 1000.0, FAST, 0.0)
        assert stretch.begins(length_s - 1, 10_000.0, 1000.0, FAST, 0.0)

    def test_not_where_a_launch_takes_more_than_a_third_of_it(self):
        assert stretch.begins(48.0, 100.0, 1000.0, FAST, 16.0)
        assert not stretch.begins(48.0, 100.0, 1000.0, FAST, 16.1)

    def test_not_where_launches_cost_more_than_they_gain(self):
        assert stretch.worthwhile(48.0, stretch.Shares(2, 1.7, 8), 16.0)
        assert not stretch.worthwhile(48.0, stretch.Shares(2, 1.6, 8), 16.0)

    @pytest.mark.parametrize(
        ("scaling", "num_devices", "does"),
        [(RESNET50, 2, False), (RESNET50, 4, True), (POOR, 4, False), (POOR, 8, True), (LinearScaling(), 3, False)],
    )
    def test_only_where_those_left_in_the_end_make_enough_progress(self, scaling, num_devices, does):
        assert stretch.worthwhile(100.0, stretch.full_size(scaling, num_devices), 0.0) is does

    def test_the_progress_is_less_the_launches(self):
        # Two trials at twice the speed, in one stage.
        assert stretch.worthwhile(100.0, stretch.full_size(POOR, 8), 18.75)
        assert not stretch.worthwhile(100.0, stretch.full_size(POOR, 8), 18.8)

    @given(left=st.floats(0, 1e6), full=st.floats(0, 1e6), cost=st.floats(0, 1e6), number=st.integers(1, 100))
    def test_never_without_speed_up(self, left, full, cost, number):
        assert not stretch.begins(left, 1e6, full, stretch.Shares(1, 1.0, number), cost)

    @given(left=st.floats(1e-3, 1e6), speed_up=st.floats(1.2, 100), cost=st.floats(0, 1e6))
    def test_a_dearer_launch_never_makes_it_begin(self, left, speed_up, cost):
        shares = stretch.Shares(8, speed_up, 4)
        if stretch.begins(left, 1e6, 1e6, shares, 2 * cost):
            assert stretch.begins(left, 1e6, 1e6, shares, cost)


class TestStages:
    def test_as_many_as_are_three_launches_long(self):
        by_cost = {cost: stretch.stages(90.0, 8, cost) for cost in (0.0, 10.0, 10.1, 15.0, 15.1, 30.0, 30.1)}
        assert [len(plan) for plan in by_cost.values()] == [3, 3, 2, 2, 1, 1, 0]
        assert by_cost[10.0] == (4, 2, 1)
        assert by_cost[15.0] == (2, 1)
        assert by_cost[30.0] == (1,)

    @pytest.mark.parametrize(("size", "plan"), [(1, ()), (2, (1,)), (3, (1,)), (4, (2, 1)), (7, (2, 1))])
    def test_in_all_of_them_trials_have_grown(self, size, plan):
        assert stretch.stages(90.0, size, 0.0) == plan

    @given(length_s=st.floats(0, 1e6), size=st.integers(1, 8), cost=st.floats(0, 1e6))
    def test_all_end_with_full_size_and_none_is_shorter(self, length_s, size, cost):
        plan = stretch.stages(length_s, size, cost)
        if plan:
            assert plan[-1] == 1
            assert length_s / len(plan) >= stretch.LAUNCHES_PER_STAGE * cost * (1 - 1e-9)
        else:
            assert size == 1 or length_s < stretch.LAUNCHES_PER_STAGE * cost


class TestSurvivors:
    def test_halved_from_stage_to_stage(self):
        assert [stretch.num_survivors((4, 2, 1), x, 8, 8) for x in (0, 0.3, 0.34, 0.6, 0.67, 1)] == [4, 4, 2, 2, 1, 1]
        assert [stretch.num_survivors((4, 2, 1), x, 32, 8) for x in (0, 0.5, 1)] == [16, 8, 4]
        assert [stretch.num_survivors((2, 1), x, 8, 8) for x in (0, 0.49, 0.5, 1)] == [2, 2, 1, 1]
        assert [stretch.num_survivors((1,), x, 8, 4) for x in (0, 1)] == [2, 2]

    @given(
        plan=st.sampled_from([(4, 2, 1), (2, 1), (1,)]),
        passed=st.floats(0, 1),
        num_devices=st.integers(1, 1000),
        size=st.integers(1, 8),
    )
    def test_at_least_one_and_no_more_than_devices(self, plan, passed, num_devices, size):
        size = min(size, num_devices)
        survivors = stretch.num_survivors(plan, passed, num_devices, size)
        assert 1 <= survivors <= num_devices
        assert survivors * size >= num_devices - size

    def test_linear_scaling_is_the_best_case_for_length(self):
        full_run_s = 100.0
        assert stretch.length_s(full_run_s, LinearScaling().speed_up(2)) < full_run_s


def test_more_devices_have_to_pay_within_the_last_stage():
    # Three stages of 30 s, each begun by a launch of 10 s, in which a trial makes (30 - 10) / 30 of its progress.
    assert not stretch.worthwhile(90.0, stretch.Shares(size=8, speed_up=4.8, number=1), launch_cost_s=10.0)
    assert stretch.worthwhile(90.0, stretch.Shares(size=8, speed_up=4.9, number=1), launch_cost_s=10.0)


class TestLengthFromNow:
    def test_at_most_the_share_of_the_time_that_has_passed_at_its_end(self):
        assert stretch.length_from_now_s(60.0, 1000.0, 1000.0, FAST, 0.0, longest_share=0.5) == 60.0
        assert stretch.length_from_now_s(60.0, 1000.0, 1000.0, FAST, 0.0, longest_share=0.25) == 20.0

    def test_all_of_it_where_any_share_is_allowed(self):
        length_s = stretch.length_s(1000.0, FAST.speed_up)
        assert stretch.length_from_now_s(0.0, 1000.0, 1000.0, FAST, 0.0, longest_share=1.0) == length_s

    def test_no_longer_than_the_time_that_is_left(self):
        assert stretch.length_from_now_s(60.0, 30.0, 1000.0, FAST, 0.0) == 30.0

    def test_none_where_it_would_not_pay(self):
        assert stretch.length_from_now_s(48.0, 1000.0, 1000.0, FAST, 16.0) == 48.0
        assert stretch.length_from_now_s(48.0, 1000.0, 1000.0, FAST, 16.1) == 0.0


def test_a_relaunch_has_to_gain_more_than_a_tenth():
    assert not stretch.pays(10.0, 11.0, time_left_s=100.0, launch_cost_s=0.0)
    assert stretch.pays(10.0, 11.1, time_left_s=100.0, launch_cost_s=0.0)
    assert not stretch.pays(10.0, 11.1, time_left_s=100.0, launch_cost_s=1.0)
