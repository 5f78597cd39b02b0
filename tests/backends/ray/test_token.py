"""What is said where a cluster and this process differ in whether they use a token."""

from __future__ import annotations

import pytest

from syne_hypersched.backends.ray._token import uses_token, with_open_hint, with_token_hint

TOKEN = {"RAY_AUTH_MODE": "token"}


@pytest.mark.parametrize(
    ("mode", "uses"), [(None, False), ("", False), ("disabled", False), ("token", True), ("TOKEN", True)]
)
def test_whether_a_token_is_used(mode, uses):
    assert uses_token({} if mode is None else {"RAY_AUTH_MODE": mode}) is uses


def test_a_cluster_that_may_ask_for_a_token_is_told_how_to_give_it():
    said = with_token_hint("Failed to connect to Ray cluster at 10.0.0.1:6379", {})
    assert said.startswith("Failed to connect to Ray cluster at 10.0.0.1:6379. Something answers there; ")
    assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN for this process, too" in said


def test_a_token_that_the_cluster_may_not_accept_is_told():
    assert "it must be the one of this process (RAY_AUTH_TOKEN, or ~/.ray/auth_token)" in with_token_hint("no", TOKEN)


def test_an_agent_that_cannot_answer_who_has_a_token_is_told():
    assert with_open_hint("The actor died", {}) == "The actor died"
    said = with_open_hint("The actor died", TOKEN)
    assert said.startswith(
        "The actor died. This process uses a token (RAY_AUTH_MODE=token): a cluster that was started"
    )
