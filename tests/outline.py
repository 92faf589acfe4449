"""A page's elements: whether they nest, and what is in them."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Checks that elements nest; collects headings, scripts, texts and addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += name == "script"
        for key, value in attributes:
            if key in ("href", "src", "xlink:href", "action"):
                self.addresses.append(str(value))
            if key == "id":
                self.ids.append(str(value))
            assert not key.startswith("on")
        if name not in _VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        for key, value in attributes:
            if key in ("href", "src"):
                self.addresses.append(str(value))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, text: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(text)
            if "h2" in self.open:
                self.headings.append(text)
