"""A feature function of a notebook as a features.py that stands alone: its text where that can be had, else its bytes.

The same file is run in training and in serving, so the way of the rows is one. The text is preferred, as a person can
read and change it: the function, what it calls of the same notebook, its constants, and the imports that it needs. A
lambda, a closure, or an object that has no text (a fitted encoder, a frame) goes into the file as bytes.
"""

from __future__ import annotations

import ast
import base64
import builtins
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any

from mainstay.adoption import carry
from mainstay.core.errors import UsageError

_CONSTANTS = (str, bytes, int, float, bool, type(None), tuple, list, dict, set, frozenset)
_LONGEST_CONSTANT = 20_000
_HEAD = '''"""Features of the adopted model: row by row, the same code in training and in serving."""

from __future__ import annotations
'''
_AS_BYTES = '''"""Features of the adopted model: row by row, the same code in training and in serving.

The function had no text of its own ({why}), so it stands here as it was pickled in the notebook.
"""

import base64
import pickle

{name} = pickle.loads(base64.b64decode(
{data}
))
'''


class _NoTextError(Exception):
    """A function cannot be written as text; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCode:
    """A features.py."""

    name: str
    """Of the function in it."""
    text: str
    why_bytes: str = ""
    """Why the function stands in it as bytes; empty: as text."""


@dataclass(slots=True)
class _Written:
    imports: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)


def feature_code(function: Callable[[Any], Any]) -> FeatureCode:
    """Return the features.py of a function; raise UsageError when it can be written neither as text nor as bytes."""
    if not callable(function):
        raise UsageError(
            f"features is a {type(function).__name__}; a function that takes and returns a frame is expected"
        )
    name = getattr(function, "__name__", "features")
    try:
        return FeatureCode(name=name, text=_text(function))
    except _NoTextError as error:
        return _bytes(function, str(error))


def _text(function: Callable[[Any], Any]) -> str:
    if not isinstance(function, FunctionType) or not function.__name__.isidentifier():
        raise _NoTextError("it is no plain function")
    written = _Written()
    _define(function, function.__name__, written)
    parts = [_HEAD, "\n".join([*sorted(written.imports.values()), ""]) if written.imports else ""]
    parts += ["\n".join(written.constants.values())] if written.constants else []
    parts += written.definitions.values()
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _define(value: Any, name: str, written: _Written) -> None:
    """Write a function or class after everything that it names."""
    if isinstance(value, FunctionType) and value.__closure__:
        raise _NoTextError(f"{name} uses variables of a function around it")
    try:
        source = textwrap.dedent(inspect.getsource(value))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError) as error:
        raise _NoTextError(f"the text of {name} is not to be had") from error
    node = tree.body[0] if len(tree.body) == 1 else None
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name != name:
        raise _NoTextError(f"{name} is a lambda, or another name for a function")
    written.definitions[name] = ""  # taken, so that a function that calls itself ends here
    scope = value.__globals__ if isinstance(value, FunctionType) else vars(inspect.getmodule(value) or builtins)
    for needed in _names(value, node):
        if needed in scope and needed not in written.definitions:
            _need(needed, scope[needed], home=getattr(value, "__module__", None), written=written)
    del written.definitions[name]
    written.definitions[name] = source


def _names(value: Any, node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """Yield every name of the module that the code reads, once; a function's own variables are none."""
    found = dict.fromkeys(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
    if not isinstance(value, FunctionType) or not isinstance(node, ast.FunctionDef):
        yield from found
        return
    outside = [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
    read = _read_by(value.__code__) | {n.id for part in outside for n in ast.walk(part) if isinstance(n, ast.Name)}
    yield from (name for name in found if name in read)


def _read_by(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_read_by, inner))


def _need(name: str, value: Any, *, home: str | None, written: _Written) -> None:
    if name in written.imports or name in written.constants:
        return
    if isinstance(value, ModuleType):
        _require_installed(value.__name__, name)
        plain = value.__name__ == name
        written.imports[name] = f"import {name}" if plain else f"import {value.__name__} as {name}"
        return
    if isinstance(value, re.Pattern):
        written.imports["re"] = "import re"
        written.constants[name] = f"{name} = re.compile({value.pattern!r}, {value.flags})"
        return
    module, own = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if isinstance(value, type | FunctionType) or (callable(value) and isinstance(module, str) and isinstance(own, str)):
        if module == home or module == "__main__":
            _define(value, name, written)
            return
        _require_installed(str(module), name)
        if own != getattr(value, "__name__", None) or "." in str(own):
            raise _NoTextError(f"{name} cannot be imported by name")
        written.imports[name] = f"from {module} import {own}" + ("" if own == name else f" as {name}")
        return
    written.constants[name] = f"{name} = {_constant(name, value)}"


def _require_installed(module: str, name: str) -> None:
    if module == "__main__" or not carry.is_installed(module):
        raise _NoTextError(f"{name} comes from {module}, which is not installed")


def _constant(name: str, value: Any) -> str:
    text = repr(value) if isinstance(value, _CONSTANTS) else ""
    try:
        same = 0 < len(text) <= _LONGEST_CONSTANT and ast.literal_eval(text) == value
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise _NoTextError(f"{name} is a {type(value).__name__} that cannot be written as text")
    return text


def _bytes(function: Callable[[Any], Any], why: str) -> FeatureCode:
    data = carry.carried_bytes(function, "the feature function")
    encoded = textwrap.wrap(base64.b64encode(data).decode("ascii"), 100)
    lines = "\n".join(f'    "{line}"' for line in encoded)
    return FeatureCode(name="features", text=_AS_BYTES.format(why=why, name="features", data=lines), why_bytes=why)
