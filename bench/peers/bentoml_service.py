"""BentoML, as its documentation has it: one call for each request, or its adaptive batching."""

from __future__ import annotations

from typing import Any

import bentoml

from peers import fitted


@bentoml.service(traffic={"timeout": 60})
class Plain:
    """One call of the pipeline for each request."""

    def __init__(self) -> None:
        self.answers = fitted.Answers()

    @bentoml.api
    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Answer one instance."""
        return self.answers([inputs])[0]


@bentoml.service(traffic={"timeout": 60})
class Batching:
    """Requests are batched as its controller learns to, with its defaults."""

    def __init__(self) -> None:
        self.answers = fitted.Answers()

    @bentoml.api(batchable=True)
    def predict(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer the instances of some requests."""
        return self.answers(inputs)
