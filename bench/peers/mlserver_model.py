"""MLServer: a runtime of one's own over the pipeline, speaking the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from peers import fitted


class Model(MLModel):
    """One input: texts, or rows of numbers."""

    async def load(self) -> bool:
        """Load the pipeline."""
        self.pipeline = fitted.pipeline()
        self.is_text = fitted.names() == ["text"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer the rows of a request, or of those that were batched."""
        given: Any = payload.inputs[0]
        rows = StringCodec.decode_input(given) if self.is_text else NumpyCodec.decode_input(given)
        shares = self.pipeline.predict_proba(rows)
        labels = [str(self.pipeline.classes_[best]) for best in shares.argmax(axis=1)]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output("label", labels),
                NumpyCodec.encode_output("probabilities", np.asarray(shares)),
            ],
        )
