"""Reads a definition: a preset, a TOML file over it, the command line's flags over both."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

from byoc.launch.errors import LaunchError
from byoc.tuning.definition import Definition, check
from byoc.tuning.ranges import SCALINGS, Categorical, Continuous, Integer, Range, as_table, text

TYPES = ("Continuous", "Integer", "Categorical")

_TABLES = ("ranges", "fixed", "metrics")
_TEXTS = ("objective", "goal", "strategy", "early-stopping", "warm-start-type")
_NUMBERS = ("max-jobs", "max-parallel", "min-epochs", "max-epochs", "max-runtime", "seed")
_LISTS = ("warm-start",)
KEYS = (*_TEXTS, *_NUMBERS, *_LISTS, *_TABLES)
_RANGE_KEYS = ("type", "min", "max", "scaling", "values")


def presets() -> tuple[str, ...]:
    """The names of the definitions that come with byoc."""
    folder = resources.files("byoc.tuning") / "presets"
    return tuple(sorted(it.name.removesuffix(".toml") for it in folder.iterdir()))


def preset(name: str) -> str:
    """A preset's text, TOML; raises ``LaunchError`` where there is none of that name."""
    if name not in presets():
        raise LaunchError(f"there is no preset {name!r}: one of {', '.join(presets())}")
    path = resources.files("byoc.tuning") / "presets" / f"{name}.toml"
    return path.read_text(encoding="utf-8")


def read(
    preset_name: str | None = None,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Definition:
    """The checked definition. ``flags``: as in a file, by the same keys; None is not given.

    Tables (ranges, fixed, metrics) are merged by name, and a range takes the place of a fixed
    hyperparameter of a lower layer, and the reverse. Raises ``LaunchError`` that names all faults.
    """
    layers = [tomllib.loads(preset(preset_name))] if preset_name else []
    if file is not None:
        layers.append(_load(file))
    layers.append({key: value for key, value in (flags or {}).items() if value is not None})
    whole: dict[str, Any] = {}
    for layer in layers:
        whole = _merged(whole, layer)
    definition, faults = parse(whole)
    check(definition, faults)
    return definition


def _load(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LaunchError(f"cannot read the definition {file}: {error}") from error


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    found = {**low, **high}
    for name in _TABLES:
        tables = [layer.get(name, {}) for layer in (low, high)]
        if all(isinstance(table, Mapping) for table in tables):
            found[name] = {**tables[0], **tables[1]}
    for taken, given in (("fixed", "ranges"), ("ranges", "fixed")):
        winners, losers = high.get(given, {}), low.get(taken, {})
        if isinstance(winners, Mapping) and isinstance(losers, Mapping):
            for name in winners.keys() & losers.keys() - high.get(taken, {}).keys():
                del found[taken][name]
    return found


def parse(content: Mapping[str, Any]) -> tuple[Definition, list[str]]:
    """The definition that a file's content gives, and what is wrong with its form."""
    faults = [_unknown(key, KEYS) for key in content if key not in KEYS]
    values: dict[str, Any] = {}
    kinds: tuple[tuple[Sequence[str], Callable[[Any], bool], str], ...] = (
        (_TEXTS, lambda it: isinstance(it, str), "a text"),
        (_NUMBERS, lambda it: isinstance(it, int) and not isinstance(it, bool), "a whole number"),
        (_LISTS, _is_texts, "a list of texts"),
        (_TABLES, lambda it: isinstance(it, Mapping), "a table"),
    )
    for keys, is_kind, kind in kinds:
        for key in keys:
            if key in content and not is_kind(content[key]):
                faults.append(f"{key} must be {kind}, not {content[key]!r}")
            elif key in content:
                values[key.replace("-", "_")] = content[key]
    values["ranges"] = _ranges(values.get("ranges", {}), faults)
    for table in ("fixed", "metrics"):
        given = values.get(table, {})
        faults += [
            f"{table}.{name} must be a text, a number or a boolean"
            for name, value in given.items()
            if isinstance(value, Mapping | list)
        ]
        values[table] = {name: text(value) for name, value in given.items()}
    values["warm_start"] = tuple(values.get("warm_start", ()))
    return Definition(**values), faults


def _is_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(it, str) for it in found)


def _unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"{key} is unknown: did you mean {near[0]}?" if near else f"{key} is unknown"


def _ranges(tables: Mapping[str, Any], faults: list[str]) -> tuple[Range, ...]:
    found = []
    for name, table in tables.items():
        try:
            found.append(_range(name, table))
        except ValueError as error:
            faults.append(f"range {name}: {error}")
    return tuple(found)


def _range(name: str, table: object) -> Range:
    """Raises ``ValueError`` that says what is wrong."""
    if not isinstance(table, Mapping):
        raise ValueError("it must be a table with min and max, or with values")
    for key in table:
        if key not in _RANGE_KEYS:
            raise ValueError(_unknown(key, _RANGE_KEYS))
    kind = table.get("type", _kind(table))
    if kind not in TYPES:
        raise ValueError(f"type {kind!r} is not one of {', '.join(TYPES)}")
    if kind == "Categorical":
        return _categorical(name, table)
    low, high = (_end(table, key) for key in ("min", "max"))
    scaling = table.get("scaling", "Auto")
    if scaling not in SCALINGS:
        raise ValueError(f"scaling {scaling!r} is not one of {', '.join(SCALINGS)}")
    if kind == "Continuous":
        return Continuous(name, float(low), float(high), scaling)
    if float(low) != int(low) or float(high) != int(high):
        raise ValueError("min and max of an Integer range must be whole numbers")
    return Integer(name, int(low), int(high), scaling)


def _end(table: Mapping[str, Any], key: str) -> int | float:
    found = table.get(key)
    if "values" in table or not isinstance(found, int | float) or isinstance(found, bool):
        raise ValueError("it needs min and max, two numbers, and no values")
    return found


def _categorical(name: str, table: Mapping[str, Any]) -> Categorical:
    values = table.get("values")
    if not isinstance(values, list) or {"min", "max", "scaling"} & table.keys():
        raise ValueError("a Categorical range needs values, a list, and no min, max or scaling")
    if any(isinstance(value, Mapping | list) for value in values):
        raise ValueError("its values must be texts, numbers or booleans")
    return Categorical(name, tuple(text(value) for value in values))


def _kind(table: Mapping[str, Any]) -> str:
    """By what it holds: whole numbers at both ends make an Integer range."""
    if "values" in table:
        return "Categorical"
    whole = all(isinstance(table.get(key), int) for key in ("min", "max"))
    return "Integer" if whole else "Continuous"


def range_flag(flag: str) -> tuple[str, dict[str, Any]]:
    """``lr=1e-5:1e-4:Logarithmic`` or ``batch-size=16,32,64`` as a name and a file's table.

    Raises ``LaunchError`` for any other form.
    """
    name, equals, spec = flag.partition("=")
    if not equals or not name or not spec:
        raise LaunchError(f"--range {flag!r} is neither NAME=MIN:MAX[:SCALING] nor NAME=A,B,C")
    ends = spec.split(":")
    if len(ends) in (2, 3):
        numbers = [_number(end) for end in ends[:2]]
        if None not in numbers:
            scaling = {"scaling": ends[2]} if len(ends) == 3 else {}
            return name, {"min": numbers[0], "max": numbers[1], **scaling}
    return name, {"values": spec.split(",")}


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def to_content(definition: Definition) -> dict[str, Any]:
    """The reverse of ``parse``, for the record: plain JSON and TOML types."""
    found: dict[str, Any] = {}
    for it in fields(Definition):
        value = getattr(definition, it.name)
        found[it.name.replace("_", "-")] = list(value) if isinstance(value, tuple) else value
    found["ranges"] = {it.name: as_table(it) for it in definition.ranges}
    found["fixed"], found["metrics"] = dict(definition.fixed), dict(definition.metrics)
    return found
