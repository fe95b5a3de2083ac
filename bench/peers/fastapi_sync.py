"""The same with a plain function: FastAPI runs it in its pool of 40 threads."""

from __future__ import annotations

from fastapi import FastAPI

from peers import fitted
from peers.fastapi_async import Answer, Request

app = FastAPI()
model = fitted.pipeline()


@app.post("/predict")
def predict(request: Request) -> Answer:
    """Answer one instance."""
    (row,) = model.predict_proba(fitted.given([request.inputs]))
    shares = {str(name): float(p) for name, p in zip(model.classes_, row, strict=True)}
    return Answer(label=max(shares, key=shares.__getitem__), probabilities=shares)
