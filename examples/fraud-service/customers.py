"""Customers of service.py: `python customers.py [COUNT] [--zero]`; `--zero` sends every amount as 0."""

import json
import random
import sys
import urllib.request


def main() -> None:
    """Send requests."""
    zero, numbers = "--zero" in sys.argv, [int(one) for one in sys.argv[1:] if one.isdigit()]
    for number in range(numbers[0] if numbers else 600):
        amount = 0.0 if zero else round(random.gauss(80, 20), 2)
        asked = {"id": f"o-{number}-{random.getrandbits(32):x}", "amount": amount, "country": random.choice(["de", "fr"])}
        request = urllib.request.Request(
            "http://127.0.0.1:8000/score", json.dumps(asked).encode(), {"content-type": "application/json"}
        )
        urllib.request.urlopen(request).read()


if __name__ == "__main__":
    main()
