"""The page as one text of HTML, with its styles, its scripts and the library that draws."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from pathlib import Path

from syne_hypersched._extras import needs_extra

_ASSETS = Path(__file__).with_name("assets")
_SCRIPTS = ("store.js", "charts.js", "devices.js", "page.js")
_MARK = re.compile(r"@(POLICY|TITLE|STYLE|DATA|PLOTLY|SCRIPT)@")


def render(title: str, data: str | None) -> str:
    """The page.

    Only the two scripts in it may run, and it may load nothing: its policy says so to the browser.

    Parameters
    ----------
    title
        Title of the page, as plain text.
    data
        The run as JSON that may stand in a page, as :func:`~syne_hypersched.experiments.page._data.encode` gives it.
        None: the page asks the server that it comes from, again and again.

    Raises
    ------
    ModuleNotFoundError
        plotly is not installed.
    """
    plotly, script = _plotly(), _inline("\n".join(_asset(name) for name in _SCRIPTS))
    hashes = " ".join(f"'sha256-{_hash(text)}'" for text in (plotly, script))
    sources = "'self'" if data is None else "'none'"
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {sources}; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": policy,
        "TITLE": html.escape(title),
        "STYLE": _asset("page.css"),
        "DATA": "null" if data is None else data,
        "PLOTLY": plotly,
        "SCRIPT": script,
    }
    # In one pass, so that nothing that is put in is taken for a mark.
    return _MARK.sub(lambda mark: parts[mark[1]], _asset("page.html"))


@cache
def _plotly() -> str:
    with needs_extra("The page of a run", "web"):
        from plotly.offline import get_plotlyjs
    return _inline(get_plotlyjs())


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _inline(script: str) -> str:
    """A script that does not end the element that it stands in."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
