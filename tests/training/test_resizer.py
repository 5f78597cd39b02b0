"""What a process of a run makes of the changes that a backend orders; ``test_joining.py`` carries them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from syne_hypersched._resize_desk import JOINS, RESIZE_DIR, RankChange, ResizeDesk
from syne_hypersched.contract import EXIT_DRAINED

pytest.importorskip("torch")

from torch.distributed import HashStore

from syne_hypersched.training._group import ProcessGroup
from syne_hypersched.training._resizer import NotLetInError, Resizer, _wait_for, leave_if_changed

GROW = RankChange(0, 1, 3)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResizeDesk:
    """The backend's side, whose folder this process is told."""
    desk = ResizeDesk(tmp_path / "desk")
    desk.open()
    monkeypatch.setenv(RESIZE_DIR, desk.folder)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # the resizer sets it, which would outlive the test
    return desk


def announced() -> Resizer:
    resizer = Resizer(ProcessGroup())
    resizer.announce()
    return resizer


def order(desk: ResizeDesk, change: RankChange) -> None:
    """Orders a change whose new processes are ready."""
    desk.order(change)
    for rank in change.new_ranks:
        desk.tell_ready(change.number, rank, 0.0)


def test_without_a_folder_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RESIZE_DIR, raising=False)
    resizer = announced()
    assert not resizer.is_active
    assert not resizer.asks()
    resizer.close()


def test_nothing_is_taken_before_the_run_says_that_it_can_change(desk: ResizeDesk) -> None:
    resizer = Resizer(ProcessGroup())
    order(desk, GROW)
    assert not desk.is_able
    assert not resizer.asks()
    resizer.announce()
    assert desk.is_able
    assert resizer.asks()


def test_a_change_waits_for_all_new_processes_and_is_then_taken_once(desk: ResizeDesk) -> None:
    resizer = announced()
    assert not resizer.asks()
    desk.order(GROW)
    assert not resizer.asks()
    desk.tell_ready(0, 2, 0.0)
    assert not resizer.asks()
    desk.tell_ready(0, 1, 0.0)
    assert resizer.asks()
    assert not desk.withdraw(GROW)
    assert resizer.asks()  # until all processes have agreed to begin it
    resizer.is_due = True
    assert not resizer.asks()


def test_a_change_that_was_withdrawn_does_not_begin(desk: ResizeDesk) -> None:
    resizer = announced()
    order(desk, GROW)
    assert desk.withdraw(GROW)
    assert not resizer.asks()
    assert desk.outcome(GROW) is None


def test_the_run_may_refuse_a_number(desk: ResizeDesk) -> None:
    resizer = announced()
    resizer.refuses = lambda num_ranks: f"{num_ranks} is odd" if num_ranks % 2 else ""
    order(desk, GROW)
    assert not resizer.asks()
    outcome = desk.outcome(GROW)
    assert outcome is not None
    assert (outcome.is_done, outcome.why) == (False, "3 is odd")
    even = RankChange(1, 1, 2)
    order(desk, even)
    assert resizer.asks()


def test_a_change_of_another_number_of_processes_is_refused(desk: ResizeDesk) -> None:
    resizer = announced()
    stale = RankChange(0, 2, 3)
    order(desk, stale)
    assert not resizer.asks()
    outcome = desk.outcome(stale)
    assert outcome is not None
    assert not outcome.is_done
    assert outcome.why.startswith("there are 1 ")


def test_only_the_first_process_takes_changes(desk: ResizeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    resizer = announced()
    order(desk, GROW)
    assert not desk.is_able
    assert not resizer.asks()
    assert desk.withdraw(GROW)


def test_a_run_that_ends_answers_what_it_has_taken(desk: ResizeDesk) -> None:
    resizer = announced()
    order(desk, GROW)
    assert resizer.asks()
    resizer.close()
    outcome = desk.outcome(GROW)
    assert outcome is not None
    assert (outcome.is_done, outcome.why) == (False, "the run has ended")


def test_a_run_that_ends_says_so(desk: ResizeDesk) -> None:
    resizer = announced()
    assert not desk.is_over
    resizer.close()
    assert desk.is_over


def test_a_run_whose_processes_can_never_change_says_why(desk: ResizeDesk) -> None:
    resizer = Resizer(ProcessGroup())
    resizer.why_fixed = lambda: "it is sharded"
    resizer.announce()
    assert desk.why_unable == "it is sharded"
    assert not desk.is_able
    order(desk, GROW)
    assert not resizer.asks()
    resizer.close()
    assert not desk.is_over, "it never was to be changed"


def test_a_second_run_of_a_process_is_not_changed(desk: ResizeDesk) -> None:
    announced().close()
    leave_if_changed()
    second = announced()
    assert not second.is_active
    assert desk.why_unable == "it is not the first ElasticRun of its script"
    assert not desk.is_able
    assert not desk.is_over, "it may be launched again on more devices"


def test_a_second_run_needs_a_launch_of_as_many_processes(desk: ResizeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    announced().close()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as left:
        leave_if_changed()
    assert left.value.code == EXIT_DRAINED
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv(JOINS, "0:1")
    with pytest.raises(SystemExit):
        leave_if_changed()


def test_the_run_goes_on_if_a_new_process_has_died(desk: ResizeDesk, caplog: pytest.LogCaptureFixture) -> None:
    resizer = announced()
    order(desk, GROW)
    assert resizer.asks()
    desk.give_up(GROW)
    called: list[str] = []
    assert resizer.carry_out({}, lambda: called.append("disconnect"), lambda: called.append("connect"))
    outcome = desk.outcome(GROW)
    assert outcome is not None
    assert (outcome.is_done, outcome.why) == (False, "a new process has ended")
    assert called == []  # the group was never left
    assert "the run goes on: a new process has ended" in caplog.text
    assert not resizer.asks()


def test_a_new_process_says_that_it_is_ready_and_may_leave_before_it_is_let_in(
    desk: ResizeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "2", "WORLD_SIZE": "3", JOINS: "7:1"}.items():
        monkeypatch.setenv(name, value)
    change = RankChange(7, 1, 3)
    resizer = Resizer(ProcessGroup())
    assert not resizer.join(lambda state: None, lambda: None, must_leave=lambda: True)
    assert list(desk.ready_times(change)) == [2]


def test_a_process_that_was_not_started_for_a_change_cannot_join(desk: ResizeDesk) -> None:
    with pytest.raises(NotLetInError, match=f"{RESIZE_DIR} must be set for a process that joins others"):
        Resizer(ProcessGroup()).join(lambda state: None, lambda: None, must_leave=lambda: False)


def test_words_of_others_are_awaited_for_a_bounded_time() -> None:
    store = HashStore()
    store.set("formed-1", "")
    store.set("formed-2", "no memory")
    assert _wait_for(store, ["formed-1", "formed-2"], 0.0) == ["", "no memory"]
    with pytest.raises(NotLetInError, match=r"a process does not answer within 0 s \(formed-3\)"):
        _wait_for(store, ["formed-1", "formed-3"], 0.0)

    def check() -> None:
        raise NotLetInError("a new process has ended")

    with pytest.raises(NotLetInError, match="has ended"):
        _wait_for(store, ["formed-3"], 60.0, check)
