"""The statements of docs/security.md about the source: no shell, and unpickling only at the listed places."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "syne_hypersched"
#: Runs a shell, or code that somebody has written down as text.
FORBIDDEN = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "runpy.run_path"}
#: What a call that must not be has in its name or its arguments.
WORDS = re.compile(r"\b(system|popen|getoutput|getstatusoutput|eval|run_path|shell|exec|loads?)\b")
UNPICKLERS = {"dill.load", "dill.loads", "pickle.load", "pickle.loads"}
#: The function of a user's own, the tuner of one's own (checked to be that), and contract tests.
UNPICKLE = {"backends/function/_entry_point.py", "recovery/_setup.py"}
#: Runs the script that is tuned, and a constant of its own whose frames tracebacks leave out.
EXECUTE = {"launch/_rank.py", "launch/_learning.py"}


def dotted(node: ast.expr) -> str:
    """A name with dots, as it is spelt; what comes before it may be an expression, which is left out."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def calls(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Name and constant keyword arguments of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield (
                dotted(node.func),
                {
                    keyword.arg: keyword.value.value
                    for keyword in node.keywords
                    if keyword.arg is not None and isinstance(keyword.value, ast.Constant)
                },
            )


def faults(path: Path, name: str) -> list[str]:
    """Calls in a file of the package, by its name in it, that it must not have."""
    if not WORDS.search(path.read_text(encoding="utf-8")):  # which takes much less time than to parse it
        return []
    found = []
    for function, options in calls(path):
        is_wrong = (
            function in FORBIDDEN
            or options.get("shell", False) is not False
            or (function == "exec" and name not in EXECUTE)
            or (function in UNPICKLERS and name not in UNPICKLE and not name.startswith("testing/"))
            or (function == "torch.load" and options.get("weights_only") is not True)
            or (function == "np.load" and options.get("allow_pickle") is not False)
        )
        if is_wrong:
            found.append(f"{name}: {function}({options})")
    return found


def test_no_shell_and_no_code_out_of_files() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    assert [fault for path in files for fault in faults(path, path.relative_to(PACKAGE).as_posix())] == []


@pytest.mark.parametrize(
    "line",
    [
        "subprocess.run(command, shell=True)", "os.system('true')", "torch.load(path)", "np.load(path)",
        "torch.load(path, weights_only=False)", "dill.load(file)", "pickle.loads(content)", "exec(source)",
        "eval(text)",
    ],
)  # fmt: skip
def test_what_must_not_be_is_found(line: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"def function():\n    return {line}\n")
    assert len(faults(path, "backends/module.py")) == 1
