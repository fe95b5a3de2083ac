"""Customers of service.py: `python customers.py [COUNT] [--zero]`; `--zero` sends every amount as 0."""

import http.client
import json
import random
import sys


def main() -> None:
    """Send requests over one connection."""
    zero, numbers = "--zero" in sys.argv, [int(one) for one in sys.argv[1:] if one.isdigit()]
    service = http.client.HTTPConnection("127.0.0.1", 8000)
    for _ in range(numbers[0] if numbers else 600):
        amount = 0.0 if zero else round(random.gauss(80, 20), 2)
        asked = {"id": f"o-{random.getrandbits(64):x}", "amount": amount, "country": random.choice(["de", "fr"])}
        service.request("POST", "/score", json.dumps(asked), {"content-type": "application/json"})
        service.getresponse().read()


if __name__ == "__main__":
    main()
