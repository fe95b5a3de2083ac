"""LitServe: `python litserve_service.py PORT WORKERS BATCH`."""

import sys
from typing import Any

import litserve

from peers import fitted


class Api(litserve.LitAPI):
    """One call of the pipeline for each request, or for each batch."""

    def setup(self, device: str) -> None:
        """Load the pipeline."""
        del device
        self.answers = fitted.Answers()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # an annotation would be taken for a schema
        """Return the instance."""
        return request["inputs"]

    def predict(self, x: Any) -> Any:
        """Answer one instance, or a list of them."""
        return self.answers(x) if isinstance(x, list) else self.answers([x])[0]

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the answer."""
        return output


if __name__ == "__main__":
    port, workers, batch = (int(one) for one in sys.argv[1:])
    api = Api(max_batch_size=batch, batch_timeout=0.001 if batch > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers, fast_queue=False)
    server.run(host="127.0.0.1", port=port, num_api_servers=1, generate_client_file=False, log_level="warning")
