"""Who has left by itself, who has at least been told, and whether what they leave is whole, or is tried."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from syne_hypersched.checkpoints._doubts import Doubts
from syne_hypersched.checkpoints._exits import have_left, have_others_left, judge
from syne_hypersched.checkpoints._files import FileState


@pytest.mark.parametrize(
    ("exit_codes", "handled", "expected"),
    [
        ([0, 75], [], (True, True)),
        ([143], [0], (True, True)),
        ([143], [], (False, False)),  # it may only have had such a child
        ([-15], [0], (False, True)),
        ([-15], [], (False, False)),
        ([0, -15], [1], (False, True)),
        ([-15, -15], [1], (False, False)),
        ([0, -9], [0, 1], (False, False)),
        ([0, None], [0, 1], (False, False)),
        ([1], [0], (False, False)),
    ],
)
def test_who_has_left(exit_codes, handled, expected):
    assert have_left(exit_codes, handled) == expected


@pytest.mark.parametrize(
    ("exit_codes", "handled", "expected"),
    [
        ([75, -15], [], True),
        ([75, -15], [0], True),
        ([143, -15, -15], [0], True),
        ([75, -15], [1], False),  # it may have had a thread that was writing
        ([143, -15], [], False),
        ([75, 0], [], False),
        ([-15, -15], [], False),
        ([1, -15], [], False),
        ([-9, -15], [], False),
        ([None, -15], [], False),
        ([-15], [], False),
    ],
)
def test_who_has_left_while_others_were_killed_by_sigterm(exit_codes, handled, expected):
    assert have_others_left(exit_codes, handled) is expected


class Seen:
    """What was seen of a folder."""

    def __init__(self, is_partial=False, is_only_one=False, is_aside=False, may_be_whole=False, open_at_sigterm=()):
        self.bursts = SimpleNamespace(is_partial=is_partial, is_only_one=is_only_one)
        self.habits = SimpleNamespace(are_aside=lambda _: is_aside)
        self.may_be_whole = may_be_whole
        self.doubts = Doubts()
        self.doubts.begin(open_at_sigterm, is_alone=True)


def judged(
    seen, newest=None, exit_codes=(-15,), has_left=False, has_handled=False, is_proven=False, is_late=False,
    has_gone_on=True, is_in_doubt=False, has_holes=False,
):  # fmt: skip
    found = {"model-2": FileState("file", inode=2, size=10)}
    return judge(
        seen, found, newest, exit_codes, has_left, has_handled, is_proven,
        is_late=is_late, has_gone_on=has_gone_on, is_in_doubt=is_in_doubt, has_holes=has_holes,
    )  # fmt: skip


BEFORE = {"model-1": FileState("file", inode=1, size=10)}
TWO = {**BEFORE, "optimizer-1": FileState("file", inode=3, size=10)}
OTHER = {"weights-1": FileState("file", inode=1, size=10)}
OPEN = ["model-2"]


@pytest.mark.parametrize(
    ("seen", "facts", "expected"),
    [
        (Seen(), {"is_proven": True}, (True, True)),
        (Seen(), {"has_left": True, "exit_codes": (0,)}, (True, True)),
        (Seen(open_at_sigterm=OPEN), {"has_left": True, "exit_codes": (0,)}, (False, True)),
        (Seen(), {}, (False, False)),
        (Seen(), {"exit_codes": (1,)}, (False, True)),  # it may have been writing
        (Seen(may_be_whole=True), {}, (False, True)),
        (Seen(), {"has_handled": True}, (False, True)),
        # A part of it may be of the epoch before.
        (Seen(is_partial=True), {"is_proven": True}, (False, False)),
        (Seen(is_partial=True), {"is_proven": True, "is_late": True}, (True, True)),
        (Seen(is_partial=True), {"is_proven": True, "exit_codes": (0,)}, (True, True)),
        (Seen(is_aside=True), {"is_proven": True, "exit_codes": (0,)}, (False, False)),
        # There may be nothing else to go on from.
        (Seen(is_partial=True, is_only_one=True, may_be_whole=True), {}, (False, True)),
        (Seen(is_partial=True, is_only_one=True), {"is_proven": True, "newest": TWO}, (False, False)),
        # A script that leaves in order has waited for its thread, whose first save may have more files than were seen.
        (
            Seen(is_partial=True, is_only_one=True),
            {"is_proven": True, "newest": TWO, "has_left": True, "exit_codes": (75,)},
            (False, True),
        ),
        (Seen(is_partial=True), {"is_proven": True, "has_left": True, "exit_codes": (75,)}, (False, True)),
        (Seen(is_partial=True), {"is_proven": True, "exit_codes": (-15,)}, (False, False)),
        (Seen(is_partial=True), {"has_left": True, "exit_codes": (75,)}, (False, False)),
        # A checkpoint has one file, as the one before shows.
        (Seen(is_partial=True, is_only_one=True), {"is_proven": True, "newest": BEFORE}, (True, True)),
        (Seen(is_partial=True), {"is_proven": True, "newest": BEFORE}, (True, True)),
        (Seen(is_partial=True), {"newest": BEFORE}, (False, False)),
        (Seen(is_partial=True), {"is_proven": True, "newest": OTHER}, (False, False)),
        (Seen(is_partial=True, is_only_one=True), {"is_proven": True, "is_in_doubt": True}, (False, False)),
        (Seen(is_aside=True, is_only_one=True), {"is_proven": True}, (False, False)),
        # It was being written at SIGTERM, and the process has died after its handler.
        (Seen(open_at_sigterm=OPEN), {"has_handled": True}, (False, False)),
        (Seen(open_at_sigterm=OPEN), {"has_handled": True, "newest": BEFORE}, (False, True)),
        (Seen(open_at_sigterm=OPEN), {"has_handled": True, "newest": BEFORE, "has_holes": True}, (False, False)),
        (Seen(open_at_sigterm=OPEN), {"newest": BEFORE}, (False, False)),
        # It may be as torn as it was.
        (Seen(), {"is_proven": True, "is_in_doubt": True, "has_gone_on": False}, (False, False)),
        (Seen(), {"is_proven": True, "is_in_doubt": True}, (True, True)),
    ],
)  # fmt: skip
def test_whether_it_is_whole_and_whether_it_is_tried(seen, facts, expected):
    assert judged(seen, **facts) == expected


@pytest.mark.parametrize("is_only_one", [True, False])
def test_the_only_checkpoint_is_tried_if_it_was_closed_before_the_kill(is_only_one):
    seen = Seen(is_only_one=is_only_one, open_at_sigterm=OPEN)
    seen.doubts.hear("closed", "model-2")
    assert judged(seen, exit_codes=(-9,)) == (False, False)
    seen.doubts.kill()
    assert judged(seen, exit_codes=(-9,)) == (False, is_only_one)
