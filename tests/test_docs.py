"""Documents are programs: every piece of Python in docs/ runs, and every relative link leads somewhere."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import ForkedPython

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted((ROOT / "docs").rglob("*.md"))

CODE_BLOCK = re.compile(r"^```(?P<language>\S*)(?: file=(?P<file>\S+))?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
#: Their frameworks take long to import. The path lets torchvision be imported beside a PyTorch for CPUs.
OF_FRAMEWORKS = ("boosting.md", "huggingface.md", "hyperparameter-search.md", "lightning.md", "torchrun.md")
PATH_OF_FRAMEWORKS = ROOT / "tests" / "integrations" / "path"
#: Each trial costs a fork and a resume or two; so many show what a document is about.
MOST_TRIALS = 3
#: With it, each server of launches imports pandas, which takes longer than all else that most documents do.
REPORTER = "from syne_tune import Reporter\n"
NUM_TRIALS = re.compile(r"(?P<name>max_num_trials_started)=(?P<number>\d+)")
LINK = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#]+)")


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def program_of(text: str, folder: Path) -> str:
    """Writes the blocks that are files, and joins the others to one program."""
    program = []
    for block in CODE_BLOCK.finditer(text):
        if block["language"] == "python" and block["file"]:
            (folder / block["file"]).write_text(block["code"])
        elif block["language"] == "python":
            program.append(block["code"])
    return "\n".join(program)


def is_shortened(text: str) -> bool:
    """Whether the quick tests run a document in another way than a reader does."""
    return REPORTER in text or any(int(found["number"]) > MOST_TRIALS for found in NUM_TRIALS.finditer(text))


def test_there_are_documents():
    assert DOCUMENTS


def shortened(text: str) -> str:
    """A document with fewer trials, which report without pandas."""
    text = NUM_TRIALS.sub(lambda found: f"{found['name']}={min(int(found['number']), MOST_TRIALS)}", text)
    return text.replace(REPORTER, "from tests.reporter import Reporter\n")


def run_document(document: Path, text: str, tmp_path: Path, forked: ForkedPython) -> None:
    """Runs the Python of a document with this text."""
    program = program_of(text, tmp_path)
    if not program:
        pytest.skip(f"{document.name} has no Python")
    script = tmp_path / "document.py"
    path = [ROOT, PATH_OF_FRAMEWORKS] if document.name in OF_FRAMEWORKS else [ROOT]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    deadlines = re.findall(r"\bDeadline\(\d", program)
    # A machine that is busy with something else may need more than a document's few seconds.
    for factor in (0.4, 1, 5, 25) if deadlines else (1,):
        script.write_text(re.sub(r"\bDeadline\((\d+)", rf"Deadline({factor} * \1", program))
        environment["SYNETUNE_FOLDER"] = str(tmp_path / f"results-{factor}")
        if document.name in OF_FRAMEWORKS:  # a fork has read the path before
            command = [sys.executable, str(script)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        else:
            done = forked.run([script], cwd=tmp_path, env=environment)
        if done.returncode == 0:
            break
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"


@pytest.mark.parametrize(
    "document",
    [pytest.param(path, marks=pytest.mark.slow if path.name in OF_FRAMEWORKS else ()) for path in DOCUMENTS],
    ids=name_of,
)
def test_python_of_a_document_runs(document, tmp_path, forked):
    run_document(document, shortened(document.read_text()), tmp_path, forked)


@pytest.mark.slow
@pytest.mark.parametrize("document", [path for path in DOCUMENTS if is_shortened(path.read_text())], ids=name_of)
def test_python_of_a_document_runs_as_it_is(document, tmp_path, forked):
    run_document(document, document.read_text(), tmp_path, forked)


def unused_names(text: str) -> set[str]:
    """Functions and classes at the top of a document's Python that none of it uses, so that their bodies never run."""
    trees = [ast.parse(block["code"]) for block in CODE_BLOCK.finditer(text) if block["language"] == "python"]
    defined = {each.name for tree in trees for each in tree.body if isinstance(each, (ast.FunctionDef, ast.ClassDef))}
    return defined - {each.id for tree in trees for each in ast.walk(tree) if isinstance(each, ast.Name)}


def test_a_function_that_is_not_called_is_found():
    block = "```python\ndef train():\n    trainer.train()\n```\n"
    assert unused_names(block) == {"train"}
    assert unused_names(f"{block}\n```python file=other.py\ntrain()\n```\n") == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_functions_of_a_document_are_called_so_that_they_run(document):
    assert not unused_names(document.read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", [ROOT / "README.md", *DOCUMENTS], ids=name_of)
def test_links_of_a_document_lead_somewhere(document):
    broken = [
        link["path"] for link in LINK.finditer(document.read_text()) if not (document.parent / link["path"]).exists()
    ]
    assert not broken


@pytest.mark.slow
def test_the_diff_of_the_tutorial_makes_a_script_that_is_elastic(tmp_path):
    document = (ROOT / "docs" / "elastic-training.md").read_text()
    program_of(document, tmp_path)
    (diff,) = [block["code"] for block in CODE_BLOCK.finditer(document) if block["language"] == "diff"]
    patched = subprocess.run(
        ["git", "apply", "-p0", "--unidiff-zero", "-"],
        cwd=tmp_path,
        input=diff.replace("+++ elastic.py", "+++ plain.py"),
        capture_output=True,
        text=True,
    )
    assert patched.returncode == 0, patched.stderr
    shutil.move(tmp_path / "plain.py", tmp_path / "elastic.py")

    def train(epochs, *arguments):
        command = [sys.executable, "elastic.py", "--epochs", str(epochs), *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        return re.findall(r'"epoch": (\d+), "train_loss": ([\d.e-]+)', done.stdout)

    kept = ["--st_checkpoint_dir", "checkpoints"]
    whole = train(3)
    assert [epoch for epoch, _ in whole] == ["1", "2", "3"]
    assert train(1, *kept) + train(3, *kept) == whole


def without(diff: str, script: str) -> tuple[str, int]:
    """The script before the changes of a diff that leaves lines out, and how many lines the diff adds."""
    lines, num_added, place = script.splitlines(), 0, 0
    for each in diff.splitlines():
        mark, line = each[:1], each[1:]
        if mark == "-":
            lines.insert(place, line)
            place += 1
        elif line != "...":
            place = lines.index(line, place)
            if mark == "+":
                del lines[place]
                num_added += 1
            else:
                place += 1
    return "\n".join(lines), num_added


@pytest.mark.parametrize(("document", "num_lines"), [("huggingface.md", 2), ("lightning.md", 5)])
def test_the_diff_of_a_framework_makes_its_script_elastic(document, num_lines):
    blocks = list(CODE_BLOCK.finditer((ROOT / "docs" / document).read_text(encoding="utf-8")))
    (diff,) = [block["code"] for block in blocks if block["language"] == "diff"]
    script = next(block["code"] for block in blocks if block["file"])
    plain, num_added = without(diff, script)
    assert num_added == num_lines
    compile(plain, document, "exec")
    assert "syne_hypersched" in script
    assert not re.search("syne_hypersched|elastic", plain)
