"""The document: head, contents, sections, style and the little script, all in one file."""

from __future__ import annotations

from importlib import resources

from byoc.html.element import Html, join, tag


def document(
    kind: str,
    name: str,
    contents: list[tuple[str, str]],
    sections: list[Html],
    made: str,
) -> str:
    """``made``: the last line, by whom."""
    links = [tag("li", tag("a", title, href=f"#{target}")) for target, title in contents]
    body = join(
        (
            tag("header", tag("p", kind, class_="kind"), tag("h1", name)),
            tag("nav", tag("ol", links), aria_label="Contents"),
            tag("main", sections),
            tag("footer", tag("p", made)),
        )
    )
    head = join(
        (
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            # Nothing is fetched, whatever a job's texts may hold.
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("title", f"{kind}: {name}"),
            tag("style", Html(_file("style.css"))),
        )
    )
    script = tag("script", Html(_file("readout.js")))
    page = tag("html", tag("head", head), tag("body", body, script), lang="en")
    return f"<!doctype html>\n{page}\n"


POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
