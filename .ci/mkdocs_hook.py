"""Hook of MkDocs: links of the documents to files of the repository become text, since the site has only the documents.

Blocks that are files, which the tests write and run, get the name of the file as their title.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>(?!https?:|#|mailto:)[^)\s]+)\)")
FILE = re.compile(r"^```(?P<language>\S+) file=(?P<file>\S+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replaces the links of a page that leave the folder of the documents."""
    folder = posixpath.dirname(page.file.src_uri)
    parts, end = [], 0
    for block in FENCE.finditer(markdown):
        named = FILE.sub(r'```\g<language> title="\g<file>"', block[0])
        parts += [_without_outside(markdown[end : block.start()], folder), named]
        end = block.end()
    return "".join([*parts, _without_outside(markdown[end:], folder)])


def _without_outside(text: str, folder: str) -> str:
    def replaced(link: re.Match[str]) -> str:
        path = link["target"].partition("#")[0]
        place = posixpath.normpath(posixpath.join("docs", folder, path))
        if place.startswith("docs/"):
            return link[0]
        label = link["text"].strip("`")
        return f"{link['text']} (`{place}` in the repository)" if label not in place else f"`{place}`"

    return LINK.sub(replaced, text)
