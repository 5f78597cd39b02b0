from __future__ import annotations

from dataclasses import replace

from syne_hypersched.replay import ReplayScenario, brief_scenarios, describe_briefly, describe_replay, replay_scenarios
from tests.replay.test_outcome import as_it_was, known_of


def text_of(known, *scenarios):
    return describe_replay(known, replay_scenarios(known, scenarios))


def test_the_line_that_a_user_wants():
    values = [[0.5, 0.45, 0.44, 0.43]] * 3 + [[0.9, 0.8, 0.2, 0.1]]
    known = known_of(values, scheduler_kwargs={"type": "stopping", "grace_period": 4, "reduction_factor": 3})
    here = as_it_was(known)
    text = text_of(
        known,
        here,
        replace(here, label="with a first rung at 1", grace_period=1),
        replace(here, label="with 2 devices", num_devices=2),
    )
    assert "The replay of the run as it was finds the same trial, loss 0.1000." in text
    assert "The same trial, trial 3, would have won with 2 devices." in text
    assert "With a first rung at 1, it would have been lost (stopped at epoch 1): the best that is known" in text
    assert "how trial" not in text  # every curve is whole


def test_what_is_not_known_is_said():
    known = known_of([[0.9, 0.8, 0.3, 0.2], [0.5]])
    text = text_of(known, ReplayScenario("with to-the-end", "to-the-end", 1, 100.0))
    assert "1 paused, stopped or cut off before" in text
    assert "As far as is known, it would also have won with to-the-end. But trial 1 would have been trained" in text
    assert "Not known: how trial 1 would have gone on" in text
    assert "Not known: with to-the-end, configurations would have been tried" in text
    assert "speed-ups are unknown, and assumed to be 1" in text


def test_a_replay_that_does_not_reproduce_the_run_says_so():
    known = replace(known_of([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2]]), best_trial=0, best_value=0.6)
    assert "finds trial 1 with loss 0.2000 instead of trial 0" in text_of(known, as_it_was(known))


def test_the_run_as_it_was_has_tried_all_that_it_has_tried():
    known = known_of([[0.9, 0.8, 0.3, 0.2], [0.5]], scheduler_kwargs={"type": "stopping", "grace_period": 4})
    outcomes = [replace(outcome, out_of_trials_s=3.0) for outcome in replay_scenarios(known, [as_it_was(known)])]
    text = describe_replay(known, outcomes)
    assert "the run has not tried" not in text
    assert "In the replay of the run as it was, devices become free earlier than in the run" in text
    other = replace(outcomes[0], scenario=replace(outcomes[0].scenario, label="with pasha"))
    both = describe_replay(known, [*outcomes, other])
    assert "Not known: with pasha, configurations would have been tried that the run has not tried" in both


def test_a_deadline_before_the_first_report_brings_nothing():
    known = known_of([[0.9, 0.8]])
    assert "With 0.5 s, no trial would have reported" in text_of(known, ReplayScenario("with 0.5 s", "asha", 1, 0.5))


def test_a_tuning_ends_with_one_line():
    values = [[0.5, 0.45, 0.44, 0.43]] * 3 + [[0.9, 0.8, 0.2, 0.1]]
    own = {"type": "stopping", "grace_period": 4, "reduction_factor": 3}
    known = known_of(values, num_devices=2, scheduler_kwargs=own)
    line = describe_briefly(known, replay_scenarios(known, brief_scenarios(known)))
    assert line == (
        "replay: with a first rung at 1, it would have been lost (stopped at epoch 1); "
        "with 1 device, the same trial would have won"
    )
    assert describe_briefly(known, []) == ""


def test_a_line_is_as_sure_as_the_replay():
    known = known_of([[0.9, 0.8, 0.3, 0.2], [0.5]])
    outcomes = replay_scenarios(known, [ReplayScenario("with asha", "to-the-end", 1, 100.0)])
    assert describe_briefly(known, outcomes).endswith("the same trial would have won, as far as is known")
    nothing = replay_scenarios(known, [ReplayScenario("with 0.5 s", "to-the-end", 1, 0.5)])
    assert describe_briefly(known, nothing) == "replay: with 0.5 s, no trial would have reported"


def test_a_foreign_scheduler_has_no_line():
    assert brief_scenarios(known_of([[0.5, 0.4]], scheduler_name="MedianStoppingRule")) == []
