"""A compiled model as bytes: a description of plain values and arrays, and back. No code travels in it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from mainstay.core.errors import Damaged
from mainstay.models.compiled import columns, text
from mainstay.models.compiled.heads import ForestHead, Head_, LinearHead, Link
from mainstay.models.compiled.parts import Block, Program
from mainstay.models.compiled.trees import Forest, Tree

VERSION = 1
Described = dict[str, Any]
"""{"v", "blocks": [{"kind", …}], "head": {"kind", …}}; arrays are NumPy's."""


def encode(described: Described) -> bytes:
    """Return the bytes of a description; equal descriptions give equal bytes."""
    return msgspec.msgpack.encode(described, enc_hook=_array_out, order="sorted")


def decode(data: bytes) -> Described:
    """Return the description; raise Damaged for bytes that are none."""
    try:
        found = _arrays_in(msgspec.msgpack.decode(data))
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
        raise Damaged(f"the compiled model cannot be read: {error}") from error
    if not isinstance(found, dict) or found.get("v") != VERSION:
        raise Damaged("the compiled model is of another format", remedy="Train again with this version of Mainstay.")
    return found


def assemble(described: Described) -> Program:
    """Return the program that a description stands for."""
    return Program([_block(one) for one in described["blocks"]], _head(described["head"]))


def _block(one: Described) -> Block:
    kind = one["kind"]
    if kind == "text":
        return _text(one)
    if kind == "numbers":
        return columns.NumberBlock(one["fields"], [(name, values) for name, values in one["steps"]])
    if kind == "codes":
        codes = [dict(pairs) for pairs in one["codes"]]
        return columns.CodeBlock(one["fields"], codes, one["unknown"])
    places = [dict(pairs) for pairs in one["places"]]
    return columns.FlagBlock(one["fields"], places, one["width"], refuses_unknown=one["refuses_unknown"])


def _text(one: Described) -> text.TextBlock:
    prepare = text.preparation(lowercase=one["lowercase"], strip_accents=one["strip_accents"])
    low, high = one["ngrams"]
    if one["analyzer"] == "word":
        stop = frozenset(one["stop_words"])
        terms = text.word_terms(one["pattern"], low=low, high=high, stop_words=stop, prepare=prepare)
    elif one["analyzer"] == "char":
        terms = text.char_terms(low=low, high=high, prepare=prepare)
    else:
        terms = text.word_bound_terms(low=low, high=high, prepare=prepare)
    return text.TextBlock(
        one["field"],
        {term: index for index, term in enumerate(one["terms"]) if term is not None},
        terms,
        width=len(one["terms"]),
        binary=one["binary"],
        sublinear=one["sublinear"],
        idf=one["idf"],
        norm=one["norm"],
        weight=one["weight"],
    )


def _head(one: Described) -> Head_:
    link = Link(one["link"])
    if one["kind"] == "linear":
        return LinearHead(one["weights"], one["intercept"], link)
    trees = [Tree(**tree) for tree in one["trees"]]
    forest = Forest(trees, one["start"], narrow=one["narrow"], sums_in_32_bits=one["sums_in_32_bits"])
    return ForestHead(forest, link, refuses_missing=one["refuses_missing"])


def _array_out(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        plain = np.ascontiguousarray(value)
        return {"__array__": plain.dtype.str, "shape": list(plain.shape), "data": plain.tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a compiled model holds no {type(value).__name__}")


def _arrays_in(value: Any) -> Any:
    if isinstance(value, list):
        return [_arrays_in(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        flat = np.frombuffer(value["data"], dtype=np.dtype(value["__array__"]))
        return flat.reshape(value["shape"])
    return {key: _arrays_in(one) for key, one in value.items()}
