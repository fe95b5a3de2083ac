"""FastAPI that also keeps what it answered: one durable SQLite insert for each request, before the answer goes out."""

from __future__ import annotations

import json
import sqlite3
import uuid

from fastapi import FastAPI

from peers import fitted
from peers.fastapi_async import Answer, Request

app = FastAPI()
model = fitted.pipeline()
log = sqlite3.connect(fitted.FOLDER / "log.db", check_same_thread=False, isolation_level=None)
log.execute("PRAGMA journal_mode = WAL")
log.execute("PRAGMA synchronous = FULL")
log.execute("CREATE TABLE IF NOT EXISTS predictions (id TEXT PRIMARY KEY, inputs TEXT, answer TEXT)")


@app.post("/predict")
async def predict(request: Request) -> Answer:
    """Answer one instance after it is kept."""
    (row,) = model.predict_proba(fitted.given([request.inputs]))
    shares = {str(name): float(p) for name, p in zip(model.classes_, row, strict=True)}
    answer = Answer(label=max(shares, key=shares.__getitem__), probabilities=shares)
    log.execute(
        "INSERT INTO predictions VALUES (?, ?, ?)",
        (str(uuid.uuid4()), json.dumps(request.inputs), answer.model_dump_json()),
    )
    return answer
