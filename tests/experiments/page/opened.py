"""Pages that are open in a browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

#: Milliseconds that a browser may take on a busy machine.
PATIENCE_MS = 60_000


class OpenPage:
    """A page with what it has asked for, and what has gone wrong in it."""

    def __init__(self, page: Any, address: str, width: int = 1600, theme: str = "light") -> None:
        self.page, self.address = page, address
        page.set_default_timeout(PATIENCE_MS)
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._listeners = {
            "request": lambda request: self.requests.append(request.url),
            "pageerror": lambda error: self.errors.append(str(error)),
            "console": lambda message: self.errors.append(message.text) if message.type == "error" else None,
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)
        page.goto(address)
        page.wait_for_selector("body[data-drawn]")

    def leave(self) -> None:
        """Ends the test of this page, whose tab may open others."""
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)
        assert not self.errors

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def shows(self, selector: str, text: str) -> None:
        """Waits until an element has a text."""
        condition = "([selector, text]) => document.querySelector(selector).innerText.includes(text)"
        self.page.wait_for_function(condition, arg=[selector, text])

    def hover(self, chart: str, selector: str) -> str:
        """What a chart says of the first thing of a kind."""
        self.page.locator(f"#{chart}").scroll_into_view_if_needed()
        self.page.locator(f"#{chart} {selector}").first.hover(force=True)
        self.page.wait_for_selector(f"#{chart} .hoverlayer .hovertext")
        return self.page.locator(f"#{chart} .hoverlayer").text_content()

    def serious_faults(self) -> list[str]:
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


class Tab:
    """Opens one page after the other: Chromium has started a process, and has compiled the library of charts.

    All files have one address: Chromium compiles the library, a second's work, for each address anew.
    """

    def __init__(self, page: Any, path: Path) -> None:
        self._page, self._path = page, path
        self._shown: OpenPage | None = None

    def open(self, page: Path | str, **options: Any) -> OpenPage:
        """Opens a file, or what a server has at an address."""
        self.leave()
        address = page
        if isinstance(page, Path):
            self._page.goto("about:blank")  # the page before is not loaded again
            shutil.copyfile(page, self._path)
            address = self._path.as_uri()
        self._shown = OpenPage(self._page, address, **options)
        return self._shown

    def shows(self, opened: OpenPage | None) -> bool:
        return opened is not None and opened is self._shown

    def leave(self) -> None:
        if self._shown is not None:
            self._shown.leave()
        self._shown = None
