"""The gate's report as other programs read it: JUnit XML for CI servers, Markdown for a job's summary page."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from mainstay.core import errors
from mainstay.core.verdicts import Check, Verdict

if TYPE_CHECKING:
    from mainstay.project import Judged

KINDS = {Verdict.FAIL: "gate_failed", Verdict.NOT_ENOUGH: "not_enough_evidence"}
"""Type of a failure in JUnit's sense."""
EXIT_CODES = {
    Verdict.PASS: errors.ExitCode.DONE,
    Verdict.FAIL: errors.ExitCode.GATE_FAILED,
    Verdict.NOT_ENOUGH: errors.ExitCode.NOT_ENOUGH_EVIDENCE,
}
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]|[\x7f-\x9f]")
"""Characters that XML 1.0 forbids, and those that it advises against."""
_MARKUP = re.compile(r"([\\`*_{}\[\]|~#!])")
_LONGEST = 300
"""Characters of a cell's figures."""


def junit(result: Judged) -> str:
    """Return the report as JUnit XML: one case for each check, what does not apply skipped.

    Missing evidence is a failure of type `not_enough_evidence`: a server that knows two outcomes must not take it for
    a pass.
    """
    counts = {
        "tests": str(len(result.checks)),
        "failures": str(sum(c.applies and c.verdict is not Verdict.PASS for c in result.checks)),
        "errors": "0",
        "skipped": str(sum(not c.applies for c in result.checks)),
    }
    root = ElementTree.Element("testsuites", {"name": "mainstay gate", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _xml(f"gate of {result.name}"), **counts})
    properties = ElementTree.SubElement(suite, "properties")
    told = {"version": result.name, "verdict": result.verdict.value, "stage": result.stage.value}
    for name, value in {**told, **{f"metric.{k}": _interval(v) for k, v in result.metrics.items()}}.items():
        ElementTree.SubElement(properties, "property", {"name": _xml(name), "value": _xml(value)})
    for check in result.checks:
        _case(suite, result.name, check)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def markdown(result: Judged) -> str:
    """Return the report as GitHub's Markdown; text from data or code is shown and never obeyed."""
    lines = [
        f"## Gate of {_md(result.name)}: {_said(result.verdict)}",
        "",
        f"The version stands at {result.stage.value}.",
        "",
        "| check | question | verdict | figures | why |",
        "|---|---|---|---|---|",
    ]
    for check in result.checks:
        said = _said(check.verdict) if check.applies else "–"
        cells = (_md(check.name), _md(check.question), said, _md(_figures(check.numbers)), _md(check.reason))
        lines.append("| " + " | ".join(cells) + " |")
    if result.metrics:
        lines += ["", "On the frozen test rows, with 95 % intervals where they are known:", ""]
        lines += ["| metric | value | interval |", "|---|---|---|"]
        lines += [f"| {_md(name)} | {' | '.join(_value_and_interval(one))} |" for name, one in result.metrics.items()]
    return "\n".join([*lines, ""])


def write(path: Path, text: str) -> None:
    """Write a report, whole or not at all; its folder is made."""
    draft = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def append(path: Path, text: str) -> None:
    """Add a report to a file that others write too."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> errors.EnvironmentFault:
    return errors.EnvironmentFault(
        f"the report cannot be written to {path}: {error.strerror or error}", remedy="Name a file that can be written."
    )


def _case(suite: ElementTree.Element, version: str, check: Check) -> None:
    names = {"classname": _xml(f"mainstay.gate.{version.rpartition('@')[0]}"), "name": _xml(check.name)}
    case = ElementTree.SubElement(suite, "testcase", names)
    body = f"{check.question}\n{check.reason}"
    if check.numbers:
        body += "\n" + json.dumps(_plain(check.numbers), ensure_ascii=False, indent=1, default=str)
    if not check.applies:
        ElementTree.SubElement(case, "skipped", {"message": _xml(check.reason)})
    elif check.verdict is Verdict.PASS:
        ElementTree.SubElement(case, "system-out").text = _xml(body)
    else:
        attributes = {"type": KINDS[check.verdict], "message": _xml(check.reason)}
        ElementTree.SubElement(case, "failure", attributes).text = _xml(body)


def _said(verdict: Verdict) -> str:
    return {Verdict.PASS: "pass", Verdict.FAIL: "**fail**", Verdict.NOT_ENOUGH: "**not enough evidence**"}[verdict]


def _figures(numbers: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name} {_figure(value)}" for name, value in _plain(numbers).items())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name} {_figure(one)}" for name, one in value.items()) + ")"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_figure(one) for one in value) + "]"
    return str(value)


def _value_and_interval(value: Any) -> tuple[str, str]:
    found = value if isinstance(value, Mapping) else {"value": value}
    middle, low, high = (found.get(key) for key in ("value", "low", "high"))
    interval = f"{_figure(low)} to {_figure(high)}" if _known(low) and _known(high) else "–"
    return _md(_figure(middle)) if _known(middle) else "–", _md(interval)


def _interval(value: Any) -> str:
    middle, interval = _value_and_interval(value)
    return middle if interval == "–" else f"{middle} ({interval})"


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _plain(value: Any) -> Any:
    """Return figures without NaN and infinities, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _xml(text: str) -> str:
    return _NOT_XML.sub("�", text)


def _md(text: str) -> str:
    """Return text for a cell: no markup, no link, no line break."""
    one_line = " ".join(_NOT_XML.sub("�", text).split())
    entities = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _MARKUP.sub(r"\\\1", entities)
    return escaped.replace("://", ":&#47;/").replace("www.", "www&#46;").replace("@", "&#64;")
