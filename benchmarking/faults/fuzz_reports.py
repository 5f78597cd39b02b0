"""Passes hostile input to the reader of the logs of trials, and hostile configurations to trials.

* Logs: broken, huge, nested, binary and malicious lines are written to a file, which is read like the log of a trial,
  in blocks of any length. Whole reports among them must be found, each once and in order. A tuner must be able to sort
  all reports that are found, calculate with them, and write them to a file.
* Configurations: hostile values are passed to real processes, which read them with argparse and write down what they
  received. Each value must be received unchanged.

Nothing may raise, take longer than ``--patience`` seconds, or execute code: an audit hook detects compiled code,
started programs and loaded pickles, and the payloads would create a file.

    python benchmarking/faults/fuzz_reports.py --lines 1000000 --values 100000
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syne_hypersched import ElasticLocalBackend
from syne_hypersched.backends.shared.reports import LogTail, RawReport, ReportStream

TAG = "[tune-metric]: "
LINES_AT_A_TIME = 500
VALUES_AT_A_TIME = 100
#: Code that creates the file whose name is inserted, if anything executes it.
PAYLOADS = (
    "$(touch {0})", "`touch {0}`", "; touch {0} #", "| touch {0}", "' && touch {0} '", '" || touch {0} "',
    "__import__('os').system('touch {0}')", "!!python/object/apply:os.system ['touch {0}']",
    "cos\nsystem\n(S'touch {0}'\ntR.", "{{{{''.__class__.__mro__[1].__subclasses__()}}}}",
)  # fmt: skip
VALUES = (
    "NaN", "Infinity", "-Infinity", "1e999", "-0.0", "1" + "0" * 400, "1" * 5000, "null", "true", '"text"', '"\\ud800"',
    '"\\u0000"', "[]", "{}", "[" * 3000, "[" * 3000 + "]" * 3000, '{"a":' * 2000, '"' + "x" * 3000 + '"', "", "-", "1.",
)  # fmt: skip
NAMES = (
    "epoch", "loss", "st_worker_timestamp", "st_worker_time", "st_worker_iter", "st_tuner_time", "st_num_devices",
    "st_launch", "st_device_time", "trial_id", "st_decision", "", "__class__", "config_x", "\\ud800", "é", "a b",
)  # fmt: skip
AUDITED = ("compile", "exec", "os.exec", "os.posix_spawn", "os.system", "pickle.find_class", "subprocess.Popen")

#: Values that an argument parser may take for an option. Not "--", which argparse removes before Python 3.13.
LIKE_OPTIONS = ("-", "-x", "--x0", "--x1=2", "--st_checkpoint_dir", "-1e-05", "-1", "-.5", "-inf", "-a b", "-\n", "---")

ECHO = f"""
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("-x", action="store_true")
for index in range({VALUES_AT_A_TIME}):
    parser.add_argument(f"--x{{index}}")
parser.add_argument("--st_checkpoint_dir", required=True)
print("[tune-metric]: " + json.dumps({{"epoch": 1, "arguments": vars(parser.parse_args())}}), flush=True)
"""


class Audit:
    """Counts executed code in this thread while it is active."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()
        self._listens_to: int | None = None
        sys.addaudithook(self._hook)

    @contextmanager
    def listening(self) -> Iterator[None]:
        self._listens_to = threading.get_ident()
        try:
            yield
        finally:
            self._listens_to = None

    def _hook(self, event: str, _: tuple[object, ...]) -> None:
        if self._listens_to == threading.get_ident() and event in AUDITED:
            self.heard[event] += 1


def hostile_line(generator: random.Random, canary: Path) -> bytes:
    """A line that no normal script prints."""
    kind = generator.randrange(7)
    if kind == 0:
        return generator.randbytes(generator.randrange(60)).replace(b"\n", b"")
    if kind == 1:
        if generator.random() < 0.002:  # a megabyte, on which a regular expression would search for hours
            return (TAG + "{").encode() * 65_536
        return (TAG * generator.randrange(5) + "{" * generator.randrange(50)).encode()
    if kind == 2:
        return TAG.encode() + generator.choice(PAYLOADS).format(canary).replace("\n", "\\n").encode()
    entries = ", ".join(
        f'"{generator.choice(NAMES)}": {_value(generator, canary)}' for _ in range(generator.randrange(5))
    )
    line = bytearray(f"{TAG}{{{entries}}}".encode())
    if kind > 4:
        for _ in range(generator.randrange(1, 4)):
            line[generator.randrange(len(line))] = generator.choice(b'{}[]",:\\\x00\xff0e\r\t')
    return bytes(line) if kind != 3 else bytes(line[: generator.randrange(len(line) + 1)])


def _value(generator: random.Random, canary: Path) -> str:
    # The longest ones are rarer, since they take longer.
    value = generator.choice(VALUES if generator.random() < 0.1 else [v for v in VALUES if len(v) < 20])
    return json.dumps(generator.choice(PAYLOADS).format(canary)) if generator.random() < 0.1 else value


def honest_line(number: int) -> bytes:
    values = {"epoch": number, "loss": 1 / number, "honest": True, "st_worker_timestamp": 1.7e9 + number}
    return f"{TAG}{json.dumps(values)}".encode()


def read(tail: LogTail) -> list[RawReport]:
    """The code under test: the new reports in a log, as two polls read them."""
    first = tail.reports()
    tail.look()
    return first + tail.reports()


def fuzz_log(num_lines: int, generator: random.Random, folder: Path, audit: Audit, patience_s: float) -> Counter[str]:
    """Reads ``num_lines`` hostile lines as the log of a trial.

    Raises
    ------
    AssertionError
        A normal report was lost, or a tuner cannot handle a report that was found.
    TimeoutError
        Some lines took longer than ``patience_s`` seconds.
    """
    canary, path = folder / "canary", folder / "std.out"
    tail, numbers, counts = LogTail(path), itertools.count(1), Counter[str]()
    stream, levelled = ReportStream(), ReportStream()
    stream.begin_launch(0, 1, 0.0)
    while counts["hostile lines"] < num_lines:
        sent, lines = [], []
        levelled.begin_launch(counts["hostile lines"] // LINES_AT_A_TIME, 2, 0.0)
        for _ in range(LINES_AT_A_TIME):
            lines.append(hostile_line(generator, canary))
            if generator.random() < 0.02:
                sent.append(next(numbers))
                lines.append(honest_line(sent[-1]))
                if generator.random() < 0.5:  # two writers of one log do not know each other's lines
                    lines[-2:] = [lines[-2] + lines[-1]]
        content = b"\n".join(lines) + b"\n"
        cut = generator.randrange(len(content))
        got: list[dict[str, Any]] = []
        for part in (content[:cut], content[cut:]):
            with open(path, "ab") as file:
                file.write(part)
            with _patience(patience_s), audit.listening():
                raw = [report.values for report in read(tail)]
                _use([report for one in raw if (report := levelled.accept(one, "epoch", time.time())) is not None])
                # The resource level is not named here: hostile reports of high levels would make honest ones old.
                got += [report for one in raw if (report := stream.accept(one, None, time.time())) is not None]
                _use(got)
        honest = [report["epoch"] for report in got if report.get("honest") is True]
        assert honest == sent, f"sent the honest reports {sent}, but got {honest}"
        counts["hostile lines"] += LINES_AT_A_TIME
        counts["honest reports"] += len(sent)
        counts["hostile lines that are reports"] += len(got) - len(sent)
        os.truncate(path, 0)
        tail = LogTail(path)
    assert not canary.exists(), "a payload was executed"
    assert not audit.heard, f"something was executed: {audit.heard}"
    return counts


def _use(reports: list[dict[str, Any]]) -> None:
    """Uses reports as a tuner does: sorts them, calculates with them, writes them to a file."""
    for report in sorted(reports, key=lambda report: report["st_worker_timestamp"]):
        assert math.isfinite(report["st_worker_timestamp"])
        assert math.isfinite(report.get("st_worker_time", 0.0))
        assert math.isfinite(report.get("st_device_time", 0.0))
        assert "st_tuner_time" not in report
        for value in report.values():
            if isinstance(value, (int, float)):
                math.isfinite(value)
        json.dumps(report, ensure_ascii=False).encode()


def hostile_argument(generator: random.Random, canary: Path) -> str | float:
    """A value of a configuration; all strings without null characters can be passed."""
    kind = generator.randrange(6)
    if kind == 0:
        return generator.choice(PAYLOADS).format(canary)
    if kind == 1:
        return "".join(chr(generator.choice((generator.randrange(1, 128), 0xE9, 0x1F600))) for _ in range(20))
    if kind == 2:
        return generator.choice(("", " ", "a b", "\n", "\\", "'", '"', "*", "~", "%s", "@file", "=", "a=b"))
    if kind == 3:
        return generator.choice(LIKE_OPTIONS)
    if kind == 4:
        return generator.choice((-1.0, 1.0)) * generator.random() * 10.0 ** generator.randint(-300, 300)
    return generator.choice(VALUES[:18])


def fuzz_configurations(
    num_values: int, generator: random.Random, folder: Path, audit: Audit, patience_s: float
) -> Counter[str]:
    """Passes ``num_values`` values to real processes: some configurations by cold launches, the others by warm ones.

    Raises
    ------
    AssertionError
        A process has received a different value.
    TimeoutError
        A process took longer than ``patience_s`` seconds.
    """
    canary, counts = folder / "canary", Counter[str]()
    script = folder / "echo.py"
    script.write_text(ECHO)
    backends = [
        ElasticLocalBackend(script, 1, device_type="cpu", launch=mode, preload=() if mode == "warm" else None)
        for mode in ("warm", "cold")
    ]
    for mode, backend in zip(("warm", "cold"), backends, strict=True):
        backend.set_path(str(folder / mode))
    try:
        while counts["values"] < num_values:
            backend = backends[counts["configurations"] % 20 == 19]
            config = {f"x{i}": hostile_argument(generator, canary) for i in range(VALUES_AT_A_TIME)}
            got = _pass(backend, config, patience_s)
            for name, value in config.items():
                same = float(got[name]) == value if isinstance(value, float) else got[name] == value
                assert same, f"sent {value!r}, but got {got[name]!r}"
            assert not got["x"], "a value was taken for an option"
            counts["values"] += VALUES_AT_A_TIME
            counts["configurations"] += 1
    finally:
        for backend in backends:
            backend.stop_all()
    assert not canary.exists(), "a payload was executed"
    return counts


def _pass(backend: ElasticLocalBackend, config: dict[str, Any], patience_s: float) -> dict[str, Any]:
    """The arguments that the script has received, by name."""
    trial_id = backend.start_trial(config).trial_id
    got, give_up_at = None, time.monotonic() + patience_s
    while True:
        statuses, reports = backend.fetch_status_results([trial_id])
        got = reports[0][1]["arguments"] if reports else got
        if statuses[trial_id][1] != "InProgress":
            break
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"the script has not ended {patience_s} s after its launch")
        time.sleep(0.001)
    if got is None:
        raise AssertionError(f"the script has failed on {config}: {backend.stderr(trial_id)}")
    return got


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TimeoutError(f"{LINES_AT_A_TIME} lines took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000, help="hostile lines of logs (default 1,000,000)")
    parser.add_argument(
        "--values", type=int, default=100_000, help="hostile values of configurations (default 100,000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the input (default 0)")
    parser.add_argument(
        "--patience", type=float, default=30.0, help="seconds until a step counts as hanging (default 30)"
    )
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # every hostile line is warned of
    generator, audit = random.Random(options.seed), Audit()
    with tempfile.TemporaryDirectory() as folder:
        counts = fuzz_log(options.lines, generator, Path(folder), audit, options.patience)
        counts += fuzz_configurations(options.values, generator, Path(folder), audit, options.patience)
    for what, number in counts.items():
        print(f"{number:9,d} {what}")
    print("nothing was lost, changed or executed, and nothing hung")
    return 0


if __name__ == "__main__":
    sys.exit(main())
