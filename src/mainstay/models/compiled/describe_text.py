"""Vectorizers as descriptions."""

from __future__ import annotations

from typing import Any

from mainstay.models.compiled.known import NotKnown, is_a
from mainstay.models.compiled.program_file import Described

_HOME = "sklearn.feature_extraction.text"


def is_text(step: Any) -> bool:
    """Return whether a step turns texts into columns."""
    return is_a(step, _HOME, "CountVectorizer", "TfidfVectorizer") or _is_union(step)


def _is_union(step: Any) -> bool:
    inner = getattr(step, "transformer_list", ())
    return is_a(step, "sklearn.pipeline", "FeatureUnion") and all(_first(one) is not None for _, one in inner)


def _first(step: Any) -> Any:
    """Return the vectorizer that a member of a union begins with, or None."""
    if is_a(step, "sklearn.pipeline", "Pipeline"):
        step = step.steps[0][1]
    return step if is_text(step) else None


def describe(steps: list[Any], field: str) -> list[Described]:
    """Return the blocks of a vectorizer (or a union of them), and of a TfidfTransformer after it."""
    if not steps:
        raise NotKnown("texts without a vectorizer")
    first, rest = steps[0], steps[1:]
    if _is_union(first):
        blocks = []
        for name, member in first.transformer_list:
            inner = [step for _, step in member.steps] if hasattr(member, "steps") else [member]
            weight = float((first.transformer_weights or {}).get(name, 1.0))
            blocks += [block | {"weight": block["weight"] * weight} for block in describe(inner, field)]
        if rest:
            raise NotKnown(f"{type(rest[0]).__name__} after a FeatureUnion")
        return blocks
    if not is_text(first):
        raise NotKnown(f"{type(first).__name__} over texts")
    block = _vectorizer(first, field)
    if rest and is_a(rest[0], _HOME, "TfidfTransformer"):
        if type(first).__name__ == "TfidfVectorizer":
            raise NotKnown("a TfidfTransformer after a TfidfVectorizer")
        block |= _weights(rest[0])
        rest = rest[1:]
    if rest:
        raise NotKnown(f"{type(rest[0]).__name__} after a vectorizer")
    return [block]


def _vectorizer(fitted: Any, field: str) -> Described:
    if fitted.preprocessor is not None or fitted.tokenizer is not None or callable(fitted.analyzer):
        raise NotKnown("a vectorizer with a function of its own")
    if callable(fitted.strip_accents) or fitted.input != "content":
        raise NotKnown("a vectorizer that reads files or strips accents with a function of its own")
    terms: list[str | None] = [None] * (1 + max(fitted.vocabulary_.values(), default=-1))
    for term, index in fitted.vocabulary_.items():
        terms[int(index)] = str(term)
    stop = fitted.get_stop_words() if fitted.analyzer == "word" else None
    block = {
        "kind": "text",
        "field": field,
        "terms": terms,
        "analyzer": fitted.analyzer,
        "ngrams": [int(n) for n in fitted.ngram_range],
        "pattern": fitted.token_pattern,
        "stop_words": sorted(stop or ()),
        "lowercase": bool(fitted.lowercase),
        "strip_accents": fitted.strip_accents,
        "binary": bool(fitted.binary),
        "weight": 1.0,
        "sublinear": False,
        "idf": None,
        "norm": None,
    }
    if type(fitted).__name__ == "TfidfVectorizer":
        block |= _weights(fitted._tfidf)
    return block


def _weights(transformer: Any) -> Described:
    if transformer.norm not in ("l1", "l2", None):
        raise NotKnown(f"norm = {transformer.norm!r}")
    return {
        "sublinear": bool(transformer.sublinear_tf),
        "idf": transformer.idf_ if transformer.use_idf else None,
        "norm": transformer.norm,
    }
