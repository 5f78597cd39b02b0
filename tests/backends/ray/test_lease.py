"""The fence never falls before the lease has ended, however long messages are under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syne_hypersched.backends.ray._lease import SLACK_S, Fence, Lease

LEASE_S, GRACE_S = 10.0, 2.0
delays = st.floats(0.0, 30.0)


def test_a_lease_ends_unless_an_answer_has_arrived():
    lease = Lease(LEASE_S, now=0.0)
    assert lease.answer(4.0) == 1
    assert lease.ends_at == 10.0
    lease.hear(0)  # a question that was asked before
    assert lease.ends_at == 10.0
    lease.hear(1)
    assert lease.ends_at == 14.0
    assert not lease.is_over(13.9)
    assert lease.is_over(14.0)


def test_an_old_answer_renews_nothing():
    lease = Lease(LEASE_S, now=0.0)
    lease.answer(1.0)
    lease.answer(5.0)
    lease.hear(1)
    assert lease.ends_at == 10.0


def test_a_node_is_silent_after_a_lease_without_an_answer():
    fence = Fence(LEASE_S, GRACE_S, now=3.0)
    fence.ask(9.0)
    assert not fence.is_silent(12.9)
    assert fence.is_silent(13.0)
    assert fence.safe_at == 9.0 + LEASE_S + GRACE_S + SLACK_S
    fence.hear(13.0)
    assert not fence.is_silent(13.0)


def test_a_dead_agent_on_a_node_that_lives_needs_only_the_grace_period():
    fence = Fence(LEASE_S, GRACE_S, now=0.0)
    fence.ask(1.0)
    fence.die(2.0)
    fence.die(5.0)
    assert fence.safe_at == 2.0 + GRACE_S + SLACK_S


@given(
    rounds=st.lists(st.tuples(delays, delays, delays), max_size=8),
    offset=st.floats(-1e6, 1e6),
    last_arrives=st.booleans(),
)
def test_the_fence_falls_after_the_lease(rounds, offset, last_arrives):
    """Any delays, two clocks with any offset, and a last question that may or may not arrive."""
    now = 0.0
    lease = Lease(LEASE_S, now + offset)
    fence = None
    heard = 0
    for to_agent, thinks, back in rounds:
        if fence is not None:
            fence.ask(now)
        now += to_agent
        lease.hear(heard)
        now += thinks
        number = lease.answer(now + offset)
        now += back
        if fence is None:
            fence = Fence(LEASE_S, GRACE_S, now)
        fence.hear(now)
        heard = number
    if fence is None:
        return  # the agent was never heard of, and was never given anything
    fence.ask(now)
    if last_arrives:
        lease.hear(heard)
    assert fence.safe_at >= lease.ends_at - offset + GRACE_S - 1e-6
