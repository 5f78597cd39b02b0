"""The check of links finds what is broken, and nothing in this repository is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def links() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", ROOT / ".ci" / "check_links.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_link_of_the_repository_is_broken(links: ModuleType) -> None:
    count, faults = links.check(ROOT)
    assert faults == []
    assert count > 300


@pytest.mark.parametrize(
    "url",
    [
        "https://semver.org/", "https://a.b-c.org:8080/x_(y)?q=1&r=%C3%A9#top", "mailto:someone@example.org",
        "http://127.0.0.1:8765/token/", "http://localhost/",
    ],
)  # fmt: skip
def test_addresses_that_are_well_formed(links: ModuleType, url: str) -> None:
    assert links.fault_of_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "htps://semver.org", "https://semver", "https:/semver.org", "https://a..org", "https://-a.org", "https://a.org:",
        "https://a.org:port/", "https://a.org/x y", "https://a.org/100%", "https://[a.org/", "https://a.org/<x>",
        "mailto:someone", "ftp://a.org/x",
    ],
)  # fmt: skip
def test_addresses_that_are_not(links: ModuleType, url: str) -> None:
    assert links.fault_of_url(url)


DOCUMENT = """# A title: `code` & more

## Twice

## Twice

[there](b.md) [title](#a-title-code-more) [on GitHub](#a-title-code--more) [second](b.md#second_1) [again](#twice-1)
[named][there] https://semver.org/. (https://semver.org/a_(b))

[there]: b.md

```text
[in code](nowhere.md)
```
`[in code](nowhere.md)`, and docs/b.md
"""


def faults_of(links: ModuleType, folder: Path, text: str, name: str = "docs/a.md") -> list[str]:
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "b.md").write_text("# Second\n\n# Second\n")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    faults: list[str] = links.check(folder.resolve())[1]
    return faults


def test_links_that_lead_somewhere(links: ModuleType, tmp_path: Path) -> None:
    assert faults_of(links, tmp_path, DOCUMENT) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[x](c.md)", "docs/a.md: c.md: there is no such file"),
        ("[a\nb](c.md)", "there is no such file"),
        ("![picture](c.png)", "there is no such file"),
        ("[x](b.md#third)", "docs/b.md has no heading of this name"),
        ("[x](#nothing)", "docs/a.md has no heading of this name"),
        ("[x](../../outside.md)", "it leaves the repository"),
        ("[x](/docs/b.md)", "another place on each site"),
        ("[x]()", "it leads nowhere"),
        ("[x][undefined]", "it leads nowhere"),
        ("[x]: c.md", "there is no such file"),
        ("[x](https://semver)", "no name of a host"),
        ("see https://semver,", "no name of a host"),
        ("as docs/c.md says", "docs/c.md: there is no such file"),
        ("`python benchmarking/gone.py`", "benchmarking/gone.py: there is no such file"),
    ],
)
def test_links_that_lead_nowhere(links: ModuleType, tmp_path: Path, text: str, why: str) -> None:
    (fault,) = faults_of(links, tmp_path, text)
    assert why in fault


def test_docstrings_and_messages_are_read_too(links: ModuleType, tmp_path: Path) -> None:
    text = '''"""See docs/b.md#second, docs/c.md and https://semver/."""\nf"http://{HOST}:{port}/"\n'''
    first, second = faults_of(links, tmp_path, text, "syne_hypersched/a.py")
    assert first.startswith("syne_hypersched/a.py: https://semver/: ")
    assert second == "syne_hypersched/a.py: docs/c.md: there is no such file"
