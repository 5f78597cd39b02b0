"""Whether this process and a cluster may differ in whether they use a token: Ray's own errors do not say so."""

from __future__ import annotations

import os
from collections.abc import Mapping


def uses_token(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a process shows a token to the cluster, and asks others for it."""
    return environment.get("RAY_AUTH_MODE", "").lower() == "token"


def with_token_hint(error: str, environment: Mapping[str, str] = os.environ) -> str:
    """Extends the error of a failed connection by a hint about tokens, if the address answers."""
    if uses_token(environment):
        hint = "if it asks for a token, it must be the one of this process (RAY_AUTH_TOKEN, or ~/.ray/auth_token)"
    else:
        hint = "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN for this process, too"
    return (
        f"{error}. Something answers there; {hint}. `ray start` asks for one by itself where ~/.ray/auth_token exists"
    )


def with_open_hint(reason: str, environment: Mapping[str, str] = os.environ) -> str:
    """Adds to the reason of an agent that has died without an answer that the cluster may have no token."""
    if not uses_token(environment):
        return reason
    return (
        f"{reason}. This process uses a token (RAY_AUTH_MODE=token): a cluster that was started without one cannot "
        "answer it. Start the cluster with RAY_AUTH_MODE=token and the same token, on all nodes"
    )
