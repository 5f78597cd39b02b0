"""Plants faults into a training script, one at a time, and looks whether ``hypersched check`` finds and names them.

``python benchmarking/faults/check_faults.py`` checks the script without a fault, in which nothing may be found,
and then one script for each fault. It exits with 1 if a fault is missed or named wrongly.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from syne_hypersched.check import CheckResult, check_script  # noqa: E402

RIGHT = Path(__file__).with_name("check_script.py")

SAVE = "        save(folder, state)\n"
REPORT = "        if RANK == 0:\n            report(**result)\n"
WRITE = """\
        (folder / "aside").write_text(json.dumps(state))
        os.replace(folder / "aside", folder / "checkpoint.json")
"""
LOAD = "    state.update(load(folder) or {})\n"
HANDLER = "    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"


@dataclass(frozen=True)
class Fault:
    """A fault: the property that must fail, and pieces of the script with what replaces them."""

    row: str
    changes: tuple[tuple[str, str], ...]

    def plant(self, text: str) -> str:
        for old, new in self.changes:
            assert text.count(old) == 1, f"not once in the script: {old!r}"
            text = text.replace(old, new)
        return text


FAULTS: Mapping[str, Fault] = {
    "saves_nothing": Fault("checkpoint found", ((SAVE, ""),)),
    "saves_elsewhere": Fault("checkpoint found", ((SAVE, "        save(folder.parent / 'elsewhere', state)\n"),)),
    "does_not_load": Fault("goes on where it was", ((LOAD, ""),)),
    "forgets_the_epoch": Fault("goes on where it was", ((LOAD, f'{LOAD}    state["epoch"] = 0\n'),)),
    "forgets_the_weights": Fault(
        "curve as undisturbed", ((LOAD, '    state["epoch"] = (load(folder) or state)["epoch"]\n'),)
    ),
    "forgets_the_momentum": Fault(
        "curve as undisturbed", ((LOAD, f"{LOAD}    state.update(slope_velocity=0.0, offset_velocity=0.0)\n"),)
    ),
    "reports_before_it_saves": Fault("checkpoint before report", ((SAVE, ""), (REPORT, f"{REPORT}{SAVE}"))),
    "saves_every_other_epoch": Fault(
        "checkpoint before report", ((SAVE, f'        if state["epoch"] % 2 == 0:\n    {SAVE}'),)
    ),
    "writes_in_place": Fault(
        "whole after a kill in a save",
        ((WRITE, '        (folder / "checkpoint.json").write_text(json.dumps(state))\n'),),
    ),
    "renames_two_files": Fault(
        "whole after a kill in a save",
        (
            (
                WRITE,
                """\
        for name, part in (("weights.json", state), ("checkpoint.json", {"epoch": state["epoch"]})):
            (folder / "aside").write_text(json.dumps(part))
            os.replace(folder / "aside", folder / name)
""",
            ),
            (
                "    return json.loads(path.read_text()) if path.exists() else None\n",
                """\
    if not path.exists():
        return None
    return json.loads((folder / "weights.json").read_text()) | json.loads(path.read_text())
""",
            ),
        ),
    ),
    "removes_the_old_one_first": Fault(
        "whole after a kill in a save",
        ((WRITE, f'        (folder / "checkpoint.json").unlink(missing_ok=True)\n{WRITE}'),),
    ),
    "ignores_sigterm": Fault("leaves on SIGTERM", ((HANDLER, "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"),)),
    "fails_on_sigterm": Fault("leaves on SIGTERM", ((HANDLER, HANDLER.replace("75", "'stopped'")),)),
    "reports_half_an_epoch": Fault(
        "only whole epochs reported",
        (
            (HANDLER, "    told = []\n    signal.signal(signal.SIGTERM, lambda *_: told.append(1))\n"),
            (
                "            time.sleep(args.step_s)\n",
                "            time.sleep(args.step_s)\n            if told:\n                break\n",
            ),
            (REPORT, f"{REPORT}        if told:\n            sys.exit(75)\n"),
        ),
    ),
    "trains_half_an_epoch_twice": Fault(
        "curve as undisturbed",
        (
            (
                HANDLER,
                """\
    def leave(*_):
        save(folder, state)
        sys.exit(75)

    signal.signal(signal.SIGTERM, leave)
""",
            ),
        ),
    ),
    "multiplies_the_batch": Fault(
        "global batch kept",
        (("    batch_size = args.batch_size\n", "    batch_size = args.batch_size * WORLD_SIZE\n"),),
    ),
    "all_ranks_write": Fault(
        "one rank writes",
        (
            ("    if RANK == 0:\n        folder.mkdir", "    if True:\n        folder.mkdir"),
            (WRITE, WRITE.replace('"aside"', 'f"aside{RANK}"')),
        ),
    ),
    "fails_on_other_devices": Fault(
        "other number of devices",
        ((LOAD, f'{LOAD}    if state["epoch"] and WORLD_SIZE > 1:\n        raise RuntimeError("size mismatch")\n'),),
    ),
    "fails_in_each_relaunch": Fault(
        "goes on where it was",
        ((LOAD, f'{LOAD}    if state["epoch"]:\n        raise KeyError("optimizer")\n'),),
    ),
    "does_not_load_and_notes_its_reports": Fault(
        "goes on where it was",
        (
            (LOAD, ""),
            (HANDLER, ""),  # SIGTERM ends it at any moment
            (REPORT, f"{REPORT}            (folder / f\"reported-{{state['epoch']}}\").touch()\n"),
        ),
    ),
    "counts_from_zero": Fault(
        "reports", (('{"epoch": state["epoch"], "loss"', '{"epoch": state["epoch"] - 1, "loss"'),)
    ),
    "skips_an_epoch": Fault("goes on where it was", ((LOAD, f'{LOAD}    state["epoch"] += state["epoch"] > 0\n'),)),
    "reports_no_number": Fault("reports", (('"loss": loss_of(state)', '"loss": float("nan")'),)),
    "does_not_know_the_folder": Fault(
        "runs",
        (
            ('    parser.add_argument("--st_checkpoint_dir", type=Path)\n', ""),
            ("    folder = args.st_checkpoint_dir\n", '    folder = Path("checkpoints")\n'),
        ),
    ),
}
"""The faults by name. ``MAIN`` names twelve that differ in kind."""

MAIN = (
    "saves_nothing", "does_not_load", "forgets_the_weights", "forgets_the_momentum", "reports_before_it_saves",
    "writes_in_place", "renames_two_files", "ignores_sigterm", "reports_half_an_epoch", "multiplies_the_batch",
    "all_ranks_write", "fails_on_other_devices",
)  # fmt: skip


def check_with(fault: str | None, folder: Path) -> CheckResult:
    """The result of the check of the script with a fault, or without one."""
    text = RIGHT.read_text(encoding="utf-8")
    script = folder / f"{fault or 'right'}.py"
    script.write_text(text if fault is None else FAULTS[fault].plant(text), encoding="utf-8")
    return check_script(script, device_type="cpu", grace_s=2.0, share_devices=True, keep=folder / f"{script.stem}-kept")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="fault", help=f"only these of {', '.join(FAULTS)}")
    parser.add_argument("--main", action="store_true", help="only the twelve that differ in kind")
    args = parser.parse_args(arguments)
    names = args.names or (MAIN if args.main else tuple(FAULTS))
    num_missed = 0
    for name in (None, *names):
        with tempfile.TemporaryDirectory() as folder:
            result = check_with(name, Path(folder))
        expected = {FAULTS[name].row} if name is not None else set()
        found = {row.name for row in result.failures}
        is_right = expected <= found and (name is not None or not found)
        num_missed += not is_right
        others = f", also {', '.join(sorted(found - expected))}" if found - expected else ""
        print(
            f"{'ok    ' if is_right else 'MISSED'}  {name or 'no fault':26} {', '.join(expected) or '-'}{others}",
            flush=True,
        )
    print(f"{len(names)} faults, {num_missed} missed or found where there are none")
    return 1 if num_missed else 0


if __name__ == "__main__":
    sys.exit(main())
