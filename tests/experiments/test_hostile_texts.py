"""Names, values, reasons and logs with any characters reach a terminal as plain lines."""

from __future__ import annotations

import io
import re

import pytest

from syne_hypersched.cli import main
from syne_hypersched.experiments import LiveProgress
from syne_hypersched.experiments._panel import render_panel, render_result
from syne_hypersched.experiments._progress import Progress
from syne_hypersched.experiments._run import load_run
from tests.experiments.page.runs import WrittenRun

EVIL = "\x1b[2J\x1b]0;title\x07a\rb\nc\td\x00\x9b31m\u202e\u2028\ud83d"
HEBREW = "דיוק"
#: What a terminal obeys, and what breaks a line; an isolate is a mark that this package puts around words itself.
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066\u2067\u2028\u2029\ud800-\udfff]")


class HostileRun(WrittenRun):
    """A run whose metric, level, hyperparameters, devices and reasons are called as nobody should call them."""

    def __init__(self, path, text: str) -> None:
        self.text = text
        super().__init__(path)
        metadata = (path / "metadata.json").read_text().replace("accuracy", self._json(f"acc {text}"))
        (path / "metadata.json").write_text(metadata.replace('"epoch"', f'"{self._json(f"ep {text}")}"'))

    @staticmethod
    def _json(text: str) -> str:
        import json

        return json.dumps(text)[1:-1]

    def _append(self, path, line):
        if "report" in line:
            report = line["report"]
            report[f"acc {self.text}"], report[f"ep {self.text}"] = report.pop("accuracy"), report.pop("epoch")
        if line.get("reason"):
            line["reason"] += self.text
        if line.get("devices"):
            line["devices"] = [f"{device}{self.text}" for device in line["devices"]]
        super()._append(path, line)


def write(path, text: str) -> None:
    run = HostileRun(path, text)
    run.start(0, **{f"lr {text}": 0.1, "act": f"relu {text}"})
    run.start(1, **{f"lr {text}": 0.2, "act": f"tanh {text}"})
    run.report(0, 1, 0.5, is_first=True)
    run.report(1, 1, 0.4, is_first=True)
    run.decide("pause", 1, "rank 2 of 2", rung=1.0)
    run.exit(1, "paused", "pause")
    run.event("pause", 1)
    run.report(0, 2, 0.7)
    run.start(2, act=f"relu {text}")
    log = text.encode(errors="ignore").decode()
    run.fail(2, f"Traceback {log}\nValueError: {log}\n")
    run.exit(0, "ended", "deadline")
    run.event("end")


@pytest.mark.parametrize(
    "arguments",
    [
        ["report"], ["explain"], ["explain", "--trial", "0"], ["explain", "--trial", "1"], ["explain", "--trial", "2"],
        ["verify"], ["replay"], ["export", "--csv"], ["pool"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", [EVIL, HEBREW])
def test_a_command_prints_plain_lines(tmp_path, capsys, arguments, text):
    for name, its in (("plain", "x"), ("evil", text)):
        write(tmp_path / name, its)
    command, *options = arguments
    printed = []
    for name in ("plain", "evil"):
        more = [str(tmp_path / f"{name}-tables")] if options == ["--csv"] else []
        code = main([command, str(tmp_path / name), *options, *more])
        captured = capsys.readouterr()
        printed.append((code, captured.out.count("\n"), captured.err.count("\n")))
        assert not OBEYED.search(captured.out), captured.out
        assert not OBEYED.search(captured.err), captured.err
        assert captured.out.count("\u2068") == captured.out.count("\u2069")
    assert printed[0] == printed[1], "as many lines as with other names"


def progress_of(path) -> Progress:
    run = load_run(path)
    progress = Progress(run.metric, run.do_minimize, run.time_attr, 200.0)
    for event in run.events:
        if event.event != "exit":  # so that trials still hold devices
            progress.add_event(event)
    for report in run.reports:
        progress.add_report(report, (run.configs or {}).get(report.trial_id))
    return progress


def test_the_live_view_has_plain_lines(tmp_path):
    from rich.console import Console

    for name, text in (("plain", "x"), ("evil", EVIL), ("hebrew", HEBREW)):
        write(tmp_path / name, text)
    heights = []
    for name in ("plain", "evil", "hebrew"):
        progress = progress_of(tmp_path / name)
        assert not OBEYED.search(progress.describe(10.0))
        assert not OBEYED.search("".join(progress.describe_end(10.0)))
        file = io.StringIO()
        console = Console(file=file, width=500, force_terminal=False)
        console.print(render_panel(progress, 10.0, 30))
        console.print(render_result(progress.describe_end(10.0)))
        assert not OBEYED.search(file.getvalue()), file.getvalue()
        heights.append(file.getvalue().count("\n"))
    assert heights[0] == heights[1] == heights[2]


def test_lines_without_a_terminal_are_plain(tmp_path, capsys):
    write(tmp_path / "evil", EVIL)
    LiveProgress(panel=False)._show_end(progress_of(tmp_path / "evil").describe_end(10.0, "a\x1bname"))
    assert not OBEYED.search(capsys.readouterr().out)
