"""A small service that answers by itself: `python attach_service.py KIND PROJECT [OPTION=JSON…]`; prints its port.

KIND is fastapi or flask; PROJECT is the folder of the project that watches it, or `-` for none.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

import mainstay


def predict(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer as a bought-in fraud model would."""
    score = min(0.99, max(0.01, asked["amount"] / 200 + (0.2 if asked.get("country") == "xx" else 0.0)))
    label = "fraud" if score > 0.5 else "ok"
    return {"id": asked.get("id"), "label": label, "confidence": score if label == "fraud" else 1 - score}


def fastapi(project: str, options: dict[str, Any]) -> None:
    import uvicorn
    from fastapi import Body, FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()
    if project != "-":
        app.add_middleware(mainstay.Watch, project=project, **options)

    @app.post("/predict")
    def answer(amount: float = Body(), country: str = Body("de"), age: int = Body(30), id: str = Body("")) -> Any:  # noqa: A002
        return predict({"amount": amount, "country": country, "age": age, "id": id})

    @app.post("/fail")
    def fail() -> None:
        raise ZeroDivisionError("of the service")

    @app.post("/stream")
    def stream() -> Any:
        return StreamingResponse(parts(), media_type="text/event-stream")

    @app.post("/streamed-json")
    def streamed() -> Any:
        return StreamingResponse(iter([b'{"label": ', b'"ok"}']), media_type="application/json")

    @app.post("/echo")
    def echo(text: str = Body(embed=True)) -> Any:
        return {"label": text}

    @app.get("/health")
    @app.head("/health")
    def health() -> Any:
        return {"ok": True}

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="critical", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


def flask(project: str, options: dict[str, Any]) -> None:
    from flask import Flask, Response, jsonify, request
    from werkzeug.serving import WSGIRequestHandler, make_server

    app = Flask("service")
    app.logger.disabled = True
    if project != "-":
        app.wsgi_app = mainstay.Watch.wsgi(app.wsgi_app, project=project, **options)  # type: ignore[method-assign]

    @app.post("/predict")
    def answer() -> Any:
        asked = request.get_json()
        if not isinstance(asked, dict) or "amount" not in asked:
            return jsonify(error="amount is missing"), 422
        return jsonify(predict(asked))

    @app.post("/fail")
    def fail() -> None:
        raise ZeroDivisionError("of the service")

    @app.post("/stream")
    def stream() -> Any:
        return Response(parts(), mimetype="text/event-stream")

    @app.post("/streamed-json")
    def streamed() -> Any:
        return Response(iter([b'{"label": ', b'"ok"}']), mimetype="application/json")

    @app.post("/echo")
    def echo() -> Any:
        return jsonify(label=request.get_json()["text"])

    @app.get("/health")
    def health() -> Any:
        return jsonify(ok=True)

    class Quiet(WSGIRequestHandler):
        def log(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


def parts() -> Iterator[bytes]:
    for number in range(3):
        yield f"data: {number}\n\n".encode()


if __name__ == "__main__":
    kind, project, *more = sys.argv[1:]
    given = {name: json.loads(value) for name, _, value in (one.partition("=") for one in more)}
    {"fastapi": fastapi, "flask": flask}[kind](project, given)
