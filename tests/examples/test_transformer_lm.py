from __future__ import annotations

import math
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syne_hypersched.experiments import check_run, load_run
from tests.examples._scripts import EXAMPLES, TRAINING_SCRIPTS, Scripts, load_script
from tests.thoroughness import examples

torch = pytest.importorskip("torch")

SCRIPT = TRAINING_SCRIPTS / "transformer_lm.py"
#: 176 windows to train on and 19 to validate on, neither of which two devices can divide evenly into these batches.
SMALL = ["--num_characters", "6250", "--context", "32", "--width", "32", "--heads", "2", "--batch_size", "25"]
#: So many epochs that a run is always ended before the last one; the warm-up takes two of them.
EPOCHS = ["--epochs", "1000", "--warmup_share", "0.002"]
METRICS = ("train_loss", "val_loss", "perplexity")

script = load_script("transformer_lm")


@pytest.mark.slow  # tests/training/test_elastic_processes.py and test_digits_cnn.py resize other scripts
@pytest.mark.parametrize(
    "arguments",
    [pytest.param([], id="copied"), pytest.param(["--shard", "--checkpoint_every_s", "0.1"], id="sharded")],
)
def test_resized_between_one_and_two_devices_it_loses_what_it_would_have_lost(
    arguments: list[str], scripts: Scripts, tmp_path: Path
) -> None:
    def train(name: str, num_devices: int, num_reports: int) -> dict[int, dict[str, Any]]:
        """The reports of a run until SIGTERM ends it, after at least the given number of reports."""
        checkpoints = ["--st_checkpoint_dir", str(tmp_path / name / "checkpoints of this trial")]
        started = scripts.start("transformer_lm", *SMALL, *EPOCHS, *checkpoints, *arguments, num_ranks=num_devices)
        return started.interrupt_after(num_reports)

    resized: dict[int, dict[str, Any]] = {}
    for num_devices in (1, 2, 1):
        reports = train("resized", num_devices, num_reports=2)
        assert list(reports) == list(range(len(resized) + 1, len(resized) + len(reports) + 1))
        resized |= reports
        newest = max((tmp_path / "resized").glob("*/*/shards"), default=tmp_path)
        assert len(list(newest.glob("*.distcp"))) == (num_devices if arguments else 0)

    alone = train("alone", 1, num_reports=len(resized))
    for epoch, report in resized.items():
        assert [report[name] for name in METRICS] == pytest.approx([alone[epoch][name] for name in METRICS], rel=1e-4)
    last = alone[max(alone)]
    assert last["val_loss"] < 0.95 * alone[1]["val_loss"]
    assert last["perplexity"] == pytest.approx(math.exp(last["val_loss"]))


@pytest.mark.slow
def test_is_tuned_while_its_shards_are_kept(tmp_path: Path) -> None:
    text = tmp_path / "a text.txt"
    text.write_text("To be, or not to be, that is the question. " * 200, encoding="utf-8")
    command = [sys.executable, str(EXAMPLES / "launch_transformer.py"), "--shard", "--text", str(text), "--width", "16"]
    done = subprocess.run(
        [*command, "--deadline", "12", "--num-devices", "2", "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = (path.parent for path in tmp_path.glob("*/metadata.json"))
    run = load_run(path, time_attr="epoch")
    assert check_run(run, step=1) == ()
    best = run.incumbent
    assert best is not None
    assert f"best val_loss {best.value:.4f}: trial {best.trial_id} at epoch {best.resource}" in done.stdout
    assert list((path / "best" / "checkpoint").glob("*/shards/*.distcp"))


def test_windows_hold_the_text_and_what_follows_each_character() -> None:
    text = "".join(chr(ord("a") + index % 26) for index in range(101))
    train, val, num_characters = script.make_datasets(text, context=10)
    assert num_characters == 26
    inputs, targets = (torch.cat(parts).flatten().tolist() for parts in zip(train.tensors, val.tensors, strict=True))
    assert inputs == [index % 26 for index in range(100)]
    assert targets == [index % 26 for index in range(1, 101)]
    assert (len(train), len(val)) == (9, 1)


@pytest.mark.parametrize("length", [0, 1, 20])
def test_a_text_without_two_windows_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=rf"more than 20 characters.*but got {length}"):
        script.make_datasets("a" * length, context=10)
    script.make_datasets("a" * 21, context=10)


def test_text_is_that_of_the_file_or_of_the_standard_library(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Grüße", encoding="utf-8")
    assert script.read_text(path) == "Grüße"
    text = script.read_text(None)
    assert len(text) > 300_000
    assert 'The "if" statement' in text


def make_model(dropout: float = 0.0) -> Any:
    torch.manual_seed(0)
    return script.LanguageModel(num_characters=7, context=12, width=16, num_blocks=2, num_heads=4, dropout=dropout)


def test_a_prediction_looks_back_but_not_ahead() -> None:
    model = make_model().eval()
    characters = torch.randint(0, 7, (3, 12), generator=torch.Generator().manual_seed(1))
    changed = characters.clone()
    changed[:, 6] = (changed[:, 6] + 1) % 7
    with torch.no_grad():
        difference = (model(characters) - model(changed)).abs().amax(dim=(0, 2))
    assert (difference[:6] == 0).all()
    assert (difference[6:] > 0).all()


def test_weights_decay_but_neither_biases_nor_gains_do() -> None:
    model = make_model()
    decayed, others = script.weight_decay_groups(model, weight_decay=0.5)
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert {id(weight) for group in (decayed, others) for weight in group["params"]} == set(names)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.5, 0.0)
    assert all(names[id(weight)].endswith("weight") for weight in decayed["params"])
    is_norm_or_bias = [name.endswith("bias") or "norm" in name for name in names.values()]
    assert len(others["params"]) == sum(is_norm_or_bias)


@settings(max_examples=examples(50))
@given(num_steps=st.integers(1, 200), share=st.floats(0, 1))
def test_learning_rate_warms_up_and_then_falls(num_steps: int, share: float) -> None:
    num_warmup_steps = round(share * num_steps)
    factor = script.warmup_then_cosine(num_warmup_steps, num_steps)
    factors = [factor(step) for step in range(num_steps)]
    assert all(0 < value <= 1 for value in factors)
    rising, falling = factors[:num_warmup_steps], factors[num_warmup_steps:]
    assert rising == sorted(set(rising))
    assert falling == sorted(falling, reverse=True)
    if falling:
        assert falling[0] == pytest.approx(1.0)
    if len(falling) > 1:
        assert falling[-1] == pytest.approx(script.FINAL_LR_FACTOR)
    # What a schedule asks for after the last step must not rise again.
    assert factor(num_steps) <= factors[-1] or not falling


@pytest.mark.parametrize("arguments", [["--width", "30"], ["--warmup_share", "1.5"]])
def test_impossible_arguments_are_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    with pytest.raises(SystemExit):
        script.parse_args()
    assert f"but got {arguments[1]}" in capsys.readouterr().err


def test_a_tuner_may_pass_a_value_for_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*arguments: str) -> Namespace:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        args: Namespace = script.parse_args()
        return args

    shards = [parsed(*arguments).shard for arguments in ([], ["--shard"], ["--shard", "0"], ["--shard", "1"])]
    assert shards == [0, 1, 0, 1]
