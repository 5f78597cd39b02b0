from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import ForkedPython

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md"]


READING = {"report", "explain", "replay", "verify"}


#: Ends the tuning of the README once there is something to look at, however long that takes.
EARLY = """
class Early(Deadline):
    def __call__(self, status):
        return super().__call__(status) or status.overall_metric_statistics.count >= 50
"""


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_simulation_runs(forked: ForkedPython) -> None:
    _, code = snippets("python")
    done = forked.run(["-c", code], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    num_trials, best, utilisation = map(float, done.stdout.split())
    assert num_trials > 8
    assert 0.5 < best < 1
    assert 0 < utilisation <= 1


def test_the_code_runs_in_an_empty_folder_and_the_commands_read_its_results(
    tmp_path: Path, forked: ForkedPython
) -> None:
    code, _ = snippets("python")
    assert code.count("Deadline(30, ") == 1
    code = code.replace("Deadline(30, ", "Early(200, ").replace("\nspace = ", f"{EARLY}\nspace = ")
    environment = os.environ | {"SYNETUNE_FOLDER": str(tmp_path / "experiments"), "PYTHONPATH": str(ROOT)}
    (tmp_path / "empty").mkdir()
    done = forked.run(["-c", code], cwd=tmp_path / "empty", env=environment)
    assert done.returncode == 0, done.stderr
    published = re.search(r"^checkpoint, configuration and result: (.*)$", done.stdout, re.MULTILINE)
    assert published, done.stdout
    best = Path(published[1])
    assert (best / "checkpoint" / "state.npz").is_file()
    assert list((tmp_path / "empty").iterdir()) == []

    commands = [line for line in "".join(snippets("bash")).splitlines() if re.match("hypersched .*NAME", line)]
    assert {shlex.split(command)[1] for command in commands} == READING | {"resume", "pool", "watch", "export"}
    for command in commands:
        words = shlex.split(command.replace("--trial 3", "--trial 0"), comments=True)
        if words[1] not in READING or "--html" in words:
            continue  # the run has ended and has no devices any more; pages and exports need extras
        arguments = ["-m", "syne_hypersched.cli", *words[1:2], best.parent.name, *words[3:]]
        done = forked.run(arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (best.parent / "run.png").is_file()


def test_the_code_has_ten_lines_and_is_formatted(tmp_path: Path) -> None:
    code, _ = snippets("python")
    lines = [line for line in code.splitlines() if line]
    assert len(lines) == 10
    ruff = Path(sys.executable).parent / "ruff"
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    (tmp_path / "snippet.py").write_text(code)
    checks = [str(ruff), "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "D", str(tmp_path)]
    done = subprocess.run(checks, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in DOCUMENTS:
        for target in re.findall(r"\bmake ([a-z-]+)", document.read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{document.name}: make {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_into_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8"))
    inside = [link for link in links if not link.startswith("http")]
    missing = [link for link in inside if not (document.parent / link).exists()]
    assert missing == []


def test_public_names_are_explained() -> None:
    import syne_hypersched

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in syne_hypersched.__all__:
        assert name == "__version__" or f"| `{name}` |" in readme


def test_every_figure_that_the_readme_claims_is_among_the_measured_claims() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    claims = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"## How good it is\n(.*?)\n## ", readme, re.DOTALL)
    figures = set(re.findall(r"(?<![\w.])\d*\.\d+(?![\w.]*\w)", section)) - {"0.25", "0.5"}  # these are deadlines
    assert len(figures) > 30
    measured = set(re.findall(r"(?<![\w.])\d*\.\d+", claims))
    assert figures <= measured, figures - measured


def test_the_picture_of_the_readme_is_of_the_default_strategy_on_eight_devices() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (picture, *_) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", readme)
    assert picture == "docs/adaptive.png"
    assert "*The default strategy on 8 devices: a simulated run" in readme
    code = (ROOT / "docs" / "adaptive.md").read_text(encoding="utf-8")
    assert 'plot_run(load_run("adaptive-run"), "adaptive.png", title)' in code
    assert "num_devices=8" in code
    assert "strategy=" not in code[code.index("scheduler = HyperSched(") : code.index("plot_run(load_run")]


def test_no_line_of_the_readme_is_overlong() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", readme, flags=re.DOTALL).splitlines()
    assert [line for line in prose if len(line) > 140 and not line.startswith("|")] == []
