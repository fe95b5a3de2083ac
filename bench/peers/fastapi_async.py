"""FastAPI as most write it: a Pydantic model, an async function, one call of the pipeline for each request."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from peers import fitted

app = FastAPI()
model = fitted.pipeline()


class Request(BaseModel):
    """What is sent."""

    inputs: dict[str, Any]


class Answer(BaseModel):
    """What is answered."""

    label: str
    probabilities: dict[str, float]


@app.post("/predict")
async def predict(request: Request) -> Answer:
    """Answer one instance."""
    (row,) = model.predict_proba(fitted.given([request.inputs]))
    shares = {str(name): float(p) for name, p in zip(model.classes_, row, strict=True)}
    return Answer(label=max(shares, key=shares.__getitem__), probabilities=shares)
