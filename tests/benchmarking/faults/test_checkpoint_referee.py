"""The referee on experiments that never were: it finds what is wrong, and nothing in what is right."""

from __future__ import annotations

import pytest

from benchmarking.faults import checkpoint_script as script
from benchmarking.faults.checkpoint_referee import RULES, Best, Evidence, Reported, judge, lasting
from benchmarking.faults.checkpoint_writer import Found

EXACT = {"level": 3, "launch": 0, "generation": 3, "match": "exact"}
WITHIN_2 = EXACT | {"match": 2}
ABSENT = object()


def rules_of(evidence):
    faults = judge(evidence).faults
    assert {fault.rule for fault in faults} <= set(RULES)
    return [fault.rule for fault in faults]


def best(found=None, label=EXACT, epoch=3, value=0.3, is_there=True, trial_id=0, x=0.5):
    result = {"trial_id": trial_id, "epoch": epoch, "loss": value, "st_launch": 0}
    if label is not ABSENT:
        result["st_checkpoint"] = label
    return Best(result, found or Found("whole", 3, 0), is_there, x)


def begin(launch, state="none", epoch=None, of_launch=None, print=""):
    return {
        "what": "begin", "launch": launch, "state": state, "epoch": epoch, "of_launch": of_launch, "why": "because",
        "print": print,
    }  # fmt: skip


def saves(*epochs):
    return [{"what": what, "epoch": epoch} for epoch in epochs for what in ("saving", "saved")]


def cut(epoch):
    return [{"what": "saving", "epoch": epoch}]


def reported(*epochs):
    return [{"what": "reported", "epoch": epoch} for epoch in epochs]


def of_a_run(the_best=None, **changes):
    """A trial that has saved and reported four epochs, of which the third was the best."""
    values = {1: 0.5, 2: 0.4, 3: 0.3, 4: 0.6}
    there = best() if the_best is None else the_best
    evidence = {
        "order": script.SAVE_FIRST,
        "reports": [Reported(0, epoch, value, float(epoch)) for epoch, value in values.items()],
        "diaries": {0: [begin(0), *saves(1, 2, 3, 4)]},
        "xs": {0: 0.5},
        "best": there,
        "sightings": [there],
    }
    return Evidence(**(evidence | changes))


def of_loads(*lines, **changes):
    return of_a_run(diaries={0: list(lines), 1: [begin(0), *saves(3)]}, best=None, publishes=False, **changes)


def test_a_correct_run_has_no_faults():
    verdict = judge(of_a_run())
    assert verdict.faults == []
    assert verdict.match == "exact"


@pytest.mark.parametrize(
    "found, label, rules",
    [
        (Found("whole", 3), EXACT, []),
        (Found("whole", 2), EXACT, ["best older"]),
        (Found("whole", 4), EXACT, ["best newer"]),
        (Found("whole", 3), WITHIN_2, []),
        (Found("whole", 5), WITHIN_2, []),
        (Found("whole", 6), WITHIN_2, ["best newer"]),
        (Found("whole", 2), WITHIN_2, ["best older"]),
        (Found("torn", why="x", print="a"), EXACT, ["best torn"]),
        (Found("foreign", 3), EXACT, ["best foreign"]),
        (Found("whole", 3), ABSENT, ["best unlabelled"]),
        (Found("whole", 2), ABSENT, ["best unlabelled", "best older"]),
        (Found("whole", 4), ABSENT, ["best unlabelled", "best newer"]),
        (Found("whole", 3), None, ["best mislabelled"]),
        (Found("whole", 3), "exact", ["best mislabelled"]),
        (Found("whole", 3), {"level": 3, "launch": 0, "match": "exact"}, ["best mislabelled"]),
        (Found("whole", 3), EXACT | {"level": 2}, ["best mislabelled"]),
        (Found("whole", 3), EXACT | {"launch": 1}, ["best mislabelled"]),
        (Found("whole", 3), EXACT | {"match": 0}, ["best mislabelled"]),
        (Found("whole", 3), EXACT | {"match": True}, ["best mislabelled"]),
        (Found("whole", 3), EXACT | {"match": "2"}, ["best mislabelled"]),
    ],
)
def test_a_result_and_the_checkpoint_beside_it(found, label, rules):
    assert rules_of(of_a_run(best(found, label))) == rules


def test_a_checkpoint_that_is_missing_is_a_fault_only_where_one_was_completed():
    nothing = best(Found("none"), None, is_there=False)
    assert rules_of(of_a_run(nothing)) == ["best missing"]
    assert rules_of(of_a_run(nothing, diaries={0: [begin(0)]})) == []
    # Of another trial, as good as what is shown, and of a worse epoch of the same.
    better = [Reported(0, 3, 0.3), Reported(1, 1, 0.3)]
    assert rules_of(of_a_run(nothing, reports=better, diaries={1: saves(1)})) == ["best missing"]
    assert rules_of(of_a_run(nothing, diaries={0: [begin(0), *saves(1, 2, 4), *cut(3)]})) == []
    assert rules_of(of_a_run(best(Found("none"), EXACT, is_there=False))) == ["best mislabelled", "best missing"]


@pytest.mark.parametrize(
    ("copy_s", "after_s", "rules"), [(0.2, 0.01, []), (0.2, 0.5, ["best missing"]), (0.0, 0.01, ["best missing"])]
)
def test_what_was_written_in_place_just_before_the_script_died_need_not_be_published(copy_s, after_s, rules):
    """The script has put SIGTERM off. A checkpoint that was moved into its place was whole, whoever dies then."""
    saved = {"what": "saved", "epoch": 3, "time": 1.0}
    diary = [begin(0), {"what": "saving", "epoch": 3, "time": 0.9}, saved, {"what": "deferred", "time": 1.0 + after_s}]
    nothing = best(Found("none"), None, is_there=False)
    assert rules_of(of_a_run(nothing, diaries={0: diary}, copy_s=copy_s)) == rules


@pytest.mark.parametrize(("last", "rules"), [(cut(3), []), (saves(3), ["best missing"])])
def test_of_two_saves_the_one_after_the_report_must_be_published(last, rules):
    """The first one, alone, may have been made before the training."""
    diary = [begin(0), *saves(3), *reported(3), *last]
    nothing = best(Found("none"), None, is_there=False)
    assert rules_of(of_a_run(nothing, diaries={0: diary}, order=script.BOTH)) == rules


def test_a_best_that_is_missing_altogether():
    assert rules_of(of_a_run(best=None, sightings=[])) == ["best missing"]
    assert rules_of(of_a_run(best=None, sightings=[], diaries={0: [begin(0)]})) == []
    assert rules_of(of_a_run(best=None, sightings=[], publishes=False)) == []


def test_the_best_is_the_best_unless_the_run_says_why():
    older = best(Found("whole", 2), EXACT | {"level": 2}, epoch=2, value=0.4)
    assert rules_of(of_a_run(older)) == ["best is not best"]
    assert rules_of(of_a_run(older, explained=[(0, 3)])) == []
    assert rules_of(of_a_run(older, explained=[(0, None)])) == []
    assert rules_of(of_a_run(older, explained=[(0, 4), (1, 3)])) == ["best is not best"]
    assert rules_of(of_a_run(older, deadline_s=2.5)) == []
    # A value that was read from a table has other last digits.
    assert rules_of(of_a_run(best(value=0.3 * (1 + 1e-12)))) == []


def test_the_configuration_is_that_of_the_trial():
    assert rules_of(of_a_run(best(x=0.75))) == ["best foreign"]


def test_best_is_only_replaced_by_something_better():
    first, second = best(Found("whole", 2), EXACT | {"level": 2}, epoch=2, value=0.4), best()
    assert rules_of(of_a_run(sightings=[first, second])) == []
    assert rules_of(of_a_run(sightings=[second, first, second])) == ["best got worse"]
    # The same result, with its checkpoint destroyed, or with a later one than it had.
    torn, gone = best(Found("torn")), best(Found("none"), None, is_there=False)
    assert rules_of(of_a_run(torn, sightings=[second, torn])) == ["best torn", "best got worse"]
    assert "best got worse" in rules_of(of_a_run(gone, sightings=[second, gone]))
    later = best(Found("whole", 5), WITHIN_2)
    assert rules_of(of_a_run(later, sightings=[second, later])) == ["best got worse"]
    assert rules_of(of_a_run(sightings=[later, second])) == []
    assert rules_of(of_a_run(sightings=[later, later])) == []


def test_what_was_in_best_for_a_while_is_judged_too():
    torn = best(Found("torn"), EXACT | {"level": 1}, epoch=1, value=0.5)
    newer = best(Found("whole", 2), EXACT | {"level": 1}, epoch=1, value=0.5)
    assert rules_of(of_a_run(sightings=[torn, best()])) == ["best torn"]
    assert rules_of(of_a_run(sightings=[newer, best()])) == ["best newer"]


def torn(launch, print="a"):
    return begin(launch, "torn", print=print)


def whole(launch, epoch, of_launch=0):
    return begin(launch, "whole", epoch, of_launch)


@pytest.mark.parametrize(
    "lines, rules",
    [
        ([begin(0), *saves(1, 2), whole(1, 2)], []),
        ([begin(0), *saves(1, 2), whole(1, 1)], ["load back"]),
        # A process was killed between the last byte and the line in its diary.
        ([begin(0), *saves(1), *cut(2), whole(1, 2)], []),
        ([begin(0), *saves(1, 2), *cut(3), whole(1, 1)], []),
        ([begin(0), *saves(1, 2), *cut(3), whole(1, 1), *saves(2), whole(2, 2, 1)], []),
        ([begin(0), *saves(1, 2), *cut(3), whole(1, 1), whole(2, 1)], []),
        ([begin(0), *saves(1, 2), *cut(3), whole(1, 2), whole(2, 1)], ["load back"]),
        # Torn, and healed by the next launch, once or each time anew.
        ([begin(0), *saves(1, 2), *cut(3), torn(1), whole(2, 1)], []),
        ([begin(0), *saves(1, 2), *cut(3), torn(1, "a"), torn(2, "b"), whole(3, 1)], []),
        ([begin(0), *saves(1, 2), *cut(3), torn(1), torn(2), whole(3, 1)], ["load torn"]),
        ([begin(0), *saves(1, 2), *cut(3), torn(1), begin(2)], ["load torn", "load gone"]),
        # Nothing whole was ever there.
        ([begin(0), *cut(1), torn(1), torn(2), torn(3)], []),
        ([begin(0), *cut(1), torn(1), begin(2)], []),
        ([begin(0), *saves(1), begin(1)], ["load gone"]),
        ([begin(0), begin(1, "foreign", 4)], ["load foreign"]),
        # Torn in the last launch that there was: nobody could have mended that, unless the trial went on.
        ([begin(0), *saves(1, 2), *cut(3), torn(1)], []),
        ([begin(0), *saves(1, 2), *cut(3), torn(1), *reported(1)], ["load torn"]),
        # A script that begins anew: what counts is where the next launch goes on from.
        ([begin(0), *saves(1, 2), *cut(3), torn(1), *reported(1), *saves(1), whole(2, 2, 0)], []),
        ([begin(0), *saves(1, 2), *cut(3), torn(1), *reported(1), *saves(1), whole(2, 1, 1)], ["load torn"]),
    ],
)
def test_what_launches_have_loaded(lines, rules):
    assert rules_of(of_loads(*lines)) == rules


def test_a_trial_that_failed_because_of_a_torn_checkpoint():
    lines = [begin(0), *saves(1, 2), *cut(3), torn(1)]
    assert rules_of(of_loads(*lines, failed=frozenset({0}))) == ["load torn"]
    assert rules_of(of_loads(*lines, failed=frozenset({1}))) == []


def test_loads_are_counted():
    verdict = judge(of_loads(begin(0), *saves(1, 2), *cut(3), torn(1), whole(2, 1), *saves(2), torn(3)))
    assert (verdict.counts["torn loads"], verdict.counts["healed"], verdict.counts["torn loads at the end"]) == (
        2,
        1,
        1,
    )
    assert (verdict.counts["went back after a cut"], verdict.counts["epochs gone back"]) == (1, 1)
    assert verdict.counts["saving"] - verdict.counts["saved"] == 1


def test_the_end_of_a_run():
    assert rules_of(of_a_run(crashed="Traceback")) == ["crashed"]
    assert rules_of(of_a_run(hung=True)) == ["hung"]
    assert rules_of(of_a_run(left=["17 python", "18 python"])) == ["left", "left"]
    again = [*of_a_run().reports, Reported(0, 2, 0.4)]
    assert rules_of(of_a_run(reports=again)) == ["twice"]


def test_what_verify_finds_counts_unless_the_script_breaks_it_on_purpose():
    for violations, order, rules in (
        ([("missing", "...")], script.SAVE_FIRST, []),
        ([("missing", "...")], script.REPORT_FIRST, ["verify"]),
        ([("owners", "...")], script.SAVE_FIRST, ["verify"]),
    ):
        assert rules_of(of_a_run(violations=violations, order=order)) == rules


def lived(*lines, killed=False, copy_s=0.0):
    """What ``lasting`` makes of a diary of (what, time) pairs of one launch."""
    diary = [{"what": "begin", "launch": 0, "time": 0.0}, *({"what": what, "time": time} for what, time in lines)]
    launches = frozenset({(0, 0)} if killed else ())
    evidence = Evidence("save, report", diaries={0: diary}, killed=launches, copy_s=copy_s)
    return [line["what"] for line in lasting(evidence, 0)[1:]]


def test_a_checkpoint_has_to_last_for_a_while_to_be_protected():
    assert lived(("saved", 1.0), ("saving", 1.05)) == ["brief", "saving"]
    assert lived(("saved", 1.0), ("reported", 1.01), ("saving", 1.2)) == ["saved", "reported", "saving"]
    assert lived(("saved", 1.0), killed=True) == ["brief"]
    assert lived(("saved", 1.0), ("reported", 1.2), killed=True) == ["saved", "reported"]
    assert lived(("saved", 1.0)) == ["saved"]  # its writer has left in order
    # What is overwritten must be copied before. What is in the folder at a kill is there.
    assert lived(("saved", 1.0), ("saving", 1.7), copy_s=0.8) == ["brief", "saving"]
    assert lived(("saved", 1.0), ("saving", 1.9), copy_s=0.8) == ["saved", "saving"]
    assert lived(("saved", 1.0), ("reported", 1.2), killed=True, copy_s=0.8) == ["saved", "reported"]
    # It dies of a SIGTERM that it has put off: a report after the save shows that it was complete, and so does a move.
    assert lived(("saved", 1.0), ("deferred", 1.01), copy_s=0.8) == ["brief", "deferred"]
    assert lived(("saved", 1.0), ("deferred", 1.2), copy_s=0.8) == ["saved", "deferred"]
    assert lived(("saved", 1.0), ("reported", 1.01), ("deferred", 1.02), copy_s=0.8)[0] == "saved"
    assert lived(("saved", 1.0), ("deferred", 1.01)) == ["saved", "deferred"]
