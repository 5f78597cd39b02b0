from __future__ import annotations

import pytest

from syne_hypersched.cli._app import _options_of, app
from syne_hypersched.cli._check import misspelt


def given(*tokens):
    """What the script is given by a command line."""
    _, bound, _ = app.parse_args(["check", *tokens], exit_on_error=False, print_error=False)
    return bound.args[1:]


@pytest.mark.parametrize(
    "option",
    [
        "--lr", "--learning_rate", "--epochs", "--batch-size", "--seed", "--num-workers", "--num-epochs",
        "--output_dir",
        "--data", "--device", "--devices", "--model", "--weight-decay", "--resume", "-x", "lr=0.1", "--gpu", "--steps",
        "--precision", "--log-every", "--keep-prob", "--json-config", "--metric-for-best", "--resource-dir",
    ],
)  # fmt: skip
def test_what_is_not_of_the_command_is_the_scripts(option):
    assert misspelt(["train.py", option, "1"], _options_of("check")) == ""
    assert given("train.py", option, "1") == (option, "1")


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--num-device", "--num-devices"), ("--num_devices", "--num-devices"), ("--num-report=3", "--num-reports"),
        ("--tolerence", "--tolerance"), ("--process", "--processes"), ("--timeout", "--timeout-s"),
        ("--grace_s", "--grace-s"), ("--devicetype", "--device-type"),
    ],
)  # fmt: skip
def test_what_is_nearly_of_the_command_is_refused(option, meant):
    name = option.partition("=")[0]
    known = _options_of("check")
    assert misspelt(["train.py", option, "3"], known).startswith(f"check has no option {name}. Did you mean {meant}?")
    assert misspelt(["train.py", "--", option, "3"], known) == ""
    assert given("train.py", "--", option, "3") == (option, "3")
