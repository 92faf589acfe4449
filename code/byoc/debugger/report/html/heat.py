"""Heat maps: a row for each device, a column for each span of time, as a small PNG.

The picture is one colour at different opacity, so that it suits a light and a dark page.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from byoc.html.element import Html, tag
from byoc.html.plot import UNITS, X_TICKS, Key, legend_of
from byoc.html.scale import Scale, clock_words
from byoc.html.text import number

COLOUR = (42, 111, 219)
LEVELS = 32

_ROW_HEIGHTS = ((8, 22), (24, 14), (64, 8), (1 << 30, 4))


def heat_map(title: str, heat: dict[str, Any], caption: str) -> Html:
    """Of per cents; a cell without a sample stays empty."""
    rows = heat["rows"]
    height = next(height for most, height in _ROW_HEIGHTS if len(rows) <= most)
    x = Scale(0.0, heat["seconds"], words=clock_words)
    source = base64.b64encode(png([row["values"] for row in rows])).decode()
    image = tag(
        "image",
        href=f"data:image/png;base64,{source}",
        width=UNITS,
        height=UNITS,
        preserveaspectratio="none",
    )
    says = "; ".join(f"{row['name']}: {number(_mean(row['values']))}%" for row in rows[:16])
    svg = tag(
        "svg",
        tag("title", f"{title}. Means: {says}."),
        image,
        viewbox=f"0 0 {UNITS} {UNITS}",
        preserveaspectratio="none",
        role="img",
        aria_label=f"{title}. Means: {says}.",
    )
    ticks = [(x.words(tick), x.place(tick)) for tick in x.ticks(X_TICKS)]
    return tag(
        "figure",
        tag("figcaption", title),
        legend_of([Key("0% (empty) to 100% (full colour)", "var(--heat)", "ramp")]),
        tag(
            "div",
            _names(rows, height),
            svg,
            tag(
                "div",
                [
                    tag(
                        "span",
                        words,
                        style=f"left:{100 * place:.2f}%",
                        class_="first" if place < 0.01 else "last" if place > 0.99 else None,
                    )
                    for words, place in ticks
                    if place <= 1.001
                ],
                class_="x",
                aria_hidden="true",
            ),
            class_="frame heat",
            style=f"--height:{height * len(rows)}px",
        ),
        tag("p", caption, class_="caption"),
        class_="plot",
    )


def _names(rows: list[dict[str, Any]], height: int) -> Html:
    """As many as there is room for."""
    stride = max(1, -(-14 // height))
    labels = [
        tag("span", row["name"], style=f"bottom:{100 * (1 - (place + 0.5) / len(rows)):.2f}%")
        for place, row in enumerate(rows)
        if place % stride == 0
    ]
    return tag("div", labels, class_="y", aria_hidden="true")


def _mean(values: list[int | None]) -> float | None:
    found = [value for value in values if value is not None]
    return round(sum(found) / len(found)) if found else None


def png(rows: list[list[int | None]]) -> bytes:
    """``rows`` of per cents as an indexed PNG with opacity, ``LEVELS`` of it."""
    palette = bytes(COLOUR) * LEVELS
    opacity = bytes(round(255 * level / (LEVELS - 1)) for level in range(LEVELS))
    lines = b"".join(b"\0" + bytes(_level(value) for value in row) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", opacity),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _level(value: int | None) -> int:
    return 0 if value is None else round(min(max(value, 0), 100) / 100 * (LEVELS - 1))


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
