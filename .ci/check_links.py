"""Checks every link of the documents, of the docstrings and of the files that describe the project.

    python .ci/check_links.py

A link within the repository must lead to a file that is there and, with a ``#``, to a heading of it. A link to another
site is judged by its syntax alone, since nothing is loaded from the network. Documents that a docstring or a message
names, as in ``docs/checkpoints.md``, must be there as well.
"""

from __future__ import annotations

import ipaddress
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
#: Where documents are, and where Python may name documents.
DOCUMENTS = ("*.md", ".github/**/*.md", "docs/**/*.md", "examples/**/*.md", "benchmarking/**/*.md")
PROGRAMS = ("syne_hypersched/**/*.py", "examples/**/*.py", "benchmarking/**/*.py", "notebooks/*.py")
OTHERS = ("pyproject.toml", "mkdocs.yml", "CITATION.cff", ".github/**/*.yml")

_FENCE = re.compile(r"^( *)(```+|~~~+).*?^ *\2 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_INLINE = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*(?P<target><[^>]*>|[^)\s]*)(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"\[[^\[\]]+\]\[(?P<label>[^\[\]]+)\]")
_DEFINITION = re.compile(r"^ {0,3}\[(?P<label>[^\]]+)\]:\s*(?P<target>\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?)(?: +#+)?$", re.MULTILINE)
_ANCHOR = re.compile(r"(?:id|name)=\"([^\"]+)\"|\{#([\w-]+)\}")
_BARE = re.compile(r"\bhttps?:[^\s<>\"'`|\\]*")
_NAMED = re.compile(r"(?<![\w/.{}-])(?:docs|examples|benchmarking)/[\w./-]+?\.(?:md|py|ipynb)\b(?:#[\w-]+)?")
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", re.IGNORECASE)
_PATH = re.compile(r"(?:[\w.~!$&'()*+,;=:@/?#-]|%[0-9A-Fa-f]{2})*", re.ASCII)


def fault_of_url(url: str) -> str | None:
    """What is wrong with the address of another site; None if nothing is."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme == "mailto":
        return None if re.fullmatch(r"[^@\s]+@[^@\s]+", parts.path) else "no address of mail"
    if parts.scheme not in ("http", "https"):
        return f"the scheme is {parts.scheme or 'missing'!r}"
    if host != "localhost" and not _HOST.fullmatch(host) and not _is_address(host):
        return f"{host!r} is no name of a host"
    if port is None and parts.netloc.endswith(":"):
        return "the port is empty"
    rest = url.partition(parts.netloc)[2]
    return None if _PATH.fullmatch(rest) else "a character must be written with %"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def slugs_of(document: str) -> set[str]:
    """The names of the headings of a document, as GitHub and MkDocs make them."""
    names: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in _HEADING.finditer(_FENCE.sub("", document)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading["text"]).replace("`", "").replace("*", "")
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        of_mkdocs = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
        of_github = re.sub(r"[^\w\s-]", "", text.strip().lower()).replace(" ", "-")
        if again := seen[of_mkdocs]:  # both number a heading that is there already, each in its own way
            names |= {f"{of_mkdocs}_{again}", f"{of_github}-{again}"}
        names |= {of_mkdocs, of_github}
        seen[of_mkdocs] += 1
    return names | {one or other for one, other in _ANCHOR.findall(document)}


def fault_of_path(target: str, where: Path, root: Path) -> str | None:
    """What is wrong with a link of the file ``where`` to another file or to a heading; None if nothing is."""
    path, sharp, fragment = target.partition("#")
    if path.startswith("/"):
        return "it begins with / and leads to another place on each site"
    file = where if not path else (where.parent / unquote(path)).resolve()
    if not file.is_relative_to(root):
        return "it leaves the repository"
    if not file.exists():
        return "there is no such file"
    if sharp and file.suffix == ".md" and fragment not in slugs_of(file.read_text(encoding="utf-8")):
        return f"{file.relative_to(root)} has no heading of this name"
    return None


def fault_of(target: str, where: Path, root: Path) -> str | None:
    """What is wrong with a link of the file ``where``; None if nothing is."""
    if not target:
        return "it leads nowhere"
    if re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
        return fault_of_url(target)
    return fault_of_path(target, where, root)


def targets_of_document(text: str) -> Iterator[str]:
    """Where the links of a document lead, without those in code."""
    text = _CODE.sub("`code`", _FENCE.sub("", text))
    defined = {found["label"].lower(): found["target"] for found in _DEFINITION.finditer(text)}
    yield from defined.values()
    for found in _INLINE.finditer(text):
        yield found["target"].strip("<>")
    for found in _REFERENCE.finditer(text):
        yield defined.get(found["label"].lower(), "")
    outside = _DEFINITION.sub("", _INLINE.sub("", text))
    yield from (_trimmed(found[0]) for found in _BARE.finditer(outside))


def _trimmed(url: str) -> str:
    """An address in a text without the punctuation after it."""
    url = url.rstrip(".,;:!?*")
    while url.endswith(")") and url.count(")") > url.count("("):
        url = url[:-1].rstrip(".,;:!?*")
    return url.rstrip("]}")


def check(root: Path) -> tuple[int, list[str]]:
    """The number of links of a repository, and a line for each one that is broken."""
    count, faults = 0, []

    def judge(file: Path, target: str, fault: str | None) -> None:
        nonlocal count
        count += 1
        if fault is not None:
            faults.append(f"{file.relative_to(root)}: {target or '[...][...]'}: {fault}")

    for file in _files(root, DOCUMENTS):
        text = file.read_text(encoding="utf-8")
        for target in targets_of_document(text):
            judge(file, target, fault_of(target, file, root))
        if file.name != "CHANGELOG.md":  # it names what there was
            _judge_named(text, file, root, judge)
    for file in _files(root, (*PROGRAMS, *OTHERS)):
        text = file.read_text(encoding="utf-8")
        for found in _BARE.finditer(text):
            if "{" not in found[0]:  # else a program puts it together
                judge(file, url := _trimmed(found[0]), fault_of_url(url))
        _judge_named(text, file, root, judge)
    return count, faults


def _judge_named(text: str, file: Path, root: Path, judge: Callable[[Path, str, str | None], None]) -> None:
    for found in _NAMED.finditer(_INLINE.sub("", text)):
        judge(file, found[0], fault_of_path(found[0], root / "README.md", root))


def _files(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in root.glob(pattern) if file.is_file()})


def main() -> int:
    """Prints what is broken; exit code 1 if anything is."""
    count, faults = check(ROOT)
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{count} links, {len(faults)} broken")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
