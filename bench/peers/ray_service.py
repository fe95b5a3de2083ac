"""Ray Serve: `python ray_service.py PORT REPLICAS`."""

from __future__ import annotations

import signal
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from peers import fitted


@serve.deployment
class Model:
    """One call of the pipeline for each request."""

    def __init__(self) -> None:
        self.answers = fitted.Answers()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer one instance."""
        return self.answers([(await request.json())["inputs"]])[0]


if __name__ == "__main__":
    port, replicas = (int(one) for one in sys.argv[1:])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployment: Any = Model.options(
        num_replicas=replicas, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.1}
    )
    serve.run(deployment.bind(), route_prefix="/predict")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()
