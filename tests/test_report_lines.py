"""Reports in lines of a log: all whole ones are found, in order, with any text around them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syne_tune import constants
from syne_tune.report import retrieve

from syne_hypersched._report_lines import OF_REPORTER, TAG, RawReport, reports_of


def report(**values):
    return f"[tune-metric]: {json.dumps(values)}"


def values_in(text):
    found = reports_of(text if isinstance(text, bytes) else text.encode())
    return [each.values for each in found.reports]


@pytest.mark.parametrize(
    "text",
    [
        report(epoch=1, loss=0.5),
        "epoch 1:  50%|#####     |\r" + report(epoch=1, loss=0.5),
        report(epoch=1, nested={"a": [1, {"b": 2}]}),
        report(note="braces } { and [tune-metric]: {inside} it"),
        report(note="ümläut"),
        '[tune-metric]: {"note": "schön", "pair": "\\ud83d\\ude00"}',
        "nothing here",
        "[tune-metric] no colon",
        "",
    ],
)
def test_reports_are_those_that_syne_tune_finds(text):
    assert values_in(text) == retrieve([text])


@pytest.mark.parametrize(
    "behind",
    [
        "\r 40% {'lr': 0.1}",
        "INFO done {}",
        " }",
        "}",
        "]",
        "\x00",
        "[tune-metric]: ",
        '[tune-metric]: {"epoch": 3, "lo',
    ],
)
@pytest.mark.parametrize(
    "before", ["", " 10%|# |\r", "{", '{"', "[tune-metric]: {", '[tune-metric]: {"epoch": 0, "x": "']
)
def test_whatever_stands_around_a_report_it_counts(before, behind):
    assert values_in(before + report(epoch=1) + behind) == [{"epoch": 1}]
    assert values_in(before + report(epoch=1) + behind + report(epoch=2) + behind) == [{"epoch": 1}, {"epoch": 2}]


@given(
    st.lists(st.one_of(st.integers(), st.binary(max_size=30).map(lambda text: text.replace(b"\n", b""))), max_size=9)
)
def test_every_whole_report_of_a_line_is_found_with_its_end(parts):
    line, sent = b"", []
    for part in parts:
        if isinstance(part, int):
            line += report(number=part).encode()
            sent.append(RawReport({"number": part}, 7 + len(line)))
        else:
            line += part
    assert reports_of(line, begin=7).reports == tuple(sent)


def test_the_end_of_a_report_counts_bytes_and_not_characters():
    line = '[tune-metric]: {"note": "é\U0001f600"}'.encode()
    (found,) = reports_of(line + b" \xff", begin=100).reports
    assert found == RawReport({"note": "é\U0001f600"}, 100 + len(line))
    (found,) = reports_of(b'[tune-metric]: {"note": "\xff"} behind').reports
    assert found == RawReport({"note": "\ufffd"}, 28)


@pytest.mark.parametrize(
    "text", ['[tune-metric]: {"epoch": 1, "lo', "[tune-metric]: {1: 2}", "[tune-metric]: " + "[" * 9]
)
def test_what_is_not_whole_is_torn(text):
    found = reports_of(text.encode())
    assert (found.reports, found.torn, found.used, found.waits) == ((), text.encode(), len(text), False)
    assert reports_of((text + report(epoch=2)).encode()).torn.startswith(text.encode())


def test_a_line_that_is_being_written_waits_for_its_rest():
    line = (report(epoch=1) + report(epoch=2)).encode()
    for written in range(len(line) + 1):
        found = reports_of(line[:written], is_whole=False)
        assert found.torn is None
        rest = reports_of(line[found.used :], begin=found.used)
        assert (found.reports + rest.reports) == reports_of(line).reports
    assert len(found.reports) == 2


def test_values_that_are_harmless_are_handed_on():
    text = '[tune-metric]: {"a": null, "b": "0.5", "c": [1], "d": {"e": true}, "f": NaN, "g": -Infinity, "": 1}'
    (values,) = values_in(text)
    assert math.isnan(values.pop("f"))
    assert values == {"a": None, "b": "0.5", "c": [1], "d": {"e": True}, "g": -math.inf, "": 1}


def test_names_reserved_for_the_tuner_are_left_out():
    values = {"epoch": 1, "st_tuner_time": 5, "st_decision": "STOP", "st_worker_time": 0.5, "st_launch": 9}
    assert values_in(report(**values)) == [{"epoch": 1, "st_worker_time": 0.5}]
    values = {"epoch": 1, "st_worker_timestamp": None, "st_worker_iter": "3", "st_worker_time": math.inf}
    assert values_in(report(**values)) == [{"epoch": 1}]


def test_values_that_cannot_be_written_or_used_in_computations_are_replaced():
    text = '[tune-metric]: {"note": "\\ud800!", "count": 1' + "0" * 400 + ', "pair": "\\ud83d\\ude00"}'
    assert values_in(text) == [{"note": "?!", "count": math.inf, "pair": "\U0001f600"}]


@pytest.mark.parametrize(
    "text", ["[tune-metric]: {" * 65_536, '[tune-metric]: {"a' * 65_536, '[tune-metric]: {"a":"' * 65_536]
)
def test_a_megabyte_of_tags_is_read_at_once(text):
    # With a regular expression, or a slice for each tag, this took minutes: the limit is the timeout of the test run.
    assert values_in(text + report(epoch=1)) == [{"epoch": 1}]


def test_the_names_are_those_of_syne_tune():
    assert TAG.decode() == f"[{constants.ST_METRIC_TAG}]: "
    assert {
        constants.ST_WORKER_COST,
        constants.ST_WORKER_ITER,
        constants.ST_WORKER_TIME,
        constants.ST_WORKER_TIMESTAMP,
    } == OF_REPORTER


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ({"trial_id": 77, "epoch": 1}, {"reported_trial_id": 77, "epoch": 1}),
        (
            {"trial_id": "a", "reported_trial_id": 3},
            {"reported_reported_trial_id": "a", "reported_trial_id": 3},
        ),
        (
            {"nested": {"trial_id": 1}, "config_x": 2, "status": "x"},
            {"nested": {"trial_id": 1}, "config_x": 2, "status": "x"},
        ),
    ],
)
def test_a_trial_id_that_a_script_reports_is_kept_under_another_name(printed, kept):
    assert values_in(report(**printed)) == [kept]
