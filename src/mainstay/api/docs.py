"""The page at /docs: the OpenAPI document as one page that needs no script and no other host."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

HERE = Path(__file__).parent / "templates"
_LINK = Markup('<a href="#schema-{0}">{0}</a>')
_LIMITS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "minimum": "from {}",
    "maximum": "to {}",
}
_WORDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list"}


def page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document; everything in it is escaped."""
    operations = [
        {"method": method.upper(), "path": path, "curl": _curl(path, method, operation), **operation}
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    schemas = {name: _table(schema) for name, schema in document["components"]["schemas"].items()}
    return _template().render(info=document["info"], operations=operations, schemas=schemas, ref=_ref, style=_style())


@cache
def headers() -> Mapping[str, str]:
    """Return what goes with the page: nothing may be loaded, and only its own style counts."""
    digest = b64encode(sha256(_style().encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("docs.html")


@cache
def _style() -> Markup:
    return Markup((HERE / "docs.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file


def _table(schema: Mapping[str, Any]) -> dict[str, Any]:
    needed = schema.get("required", ())
    rows = [
        {"name": name, "kind": _kind(one), "needed": name in needed, "text": one.get("description", "")}
        for name, one in schema.get("properties", {}).items()
    ]
    return {"text": schema.get("description", ""), "rows": rows, "kind": "" if rows else _kind(schema)}


def _kind(schema: Mapping[str, Any]) -> Markup:
    """Return what a schema takes, in words, with links to other schemas."""
    if "$ref" in schema:
        return _LINK.format(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return Markup(" or ").join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return Markup(", ").join(schema["enum"])
    kind = schema.get("type", "anything")
    inner = schema.get("items") or schema.get("additionalProperties")
    words = [Markup("{}").format(schema.get("format") or _WORDS.get(kind, kind))]
    if kind in ("array", "object") and isinstance(inner, Mapping) and inner:
        words = [Markup("{} of {}").format(_WORDS.get(kind, kind), _kind(inner))]
    words += [Markup("{}").format(text.format(schema[limit])) for limit, text in _LIMITS.items() if limit in schema]
    return Markup(", ").join(words)


def _ref(content: Mapping[str, Any]) -> Markup:
    """Return the link to what a response or body holds, or its media type."""
    for media, one in content.items():
        schema = one.get("schema", {})
        return _kind(schema) if "$ref" in schema else Markup("{}").format(media)
    return Markup("")


def _curl(path: str, method: str, operation: Mapping[str, Any]) -> str:
    names: Sequence[Any] = [one["schema"].get("enum", ()) for one in operation.get("parameters", ())]
    if names and names[0]:
        path = path.replace("{model}", names[0][0])
    if method == "get":
        return f"curl -s localhost:PORT{path}"
    example = operation["requestBody"]["content"]["application/json"].get("example")
    if example is None:
        return ""
    body = json.dumps(example, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -s localhost:PORT{path} -H 'content-type: application/json' -d '{body}'"
