"""One request's way: validate, route, predict, log; and the processes that walk it.

Owns `handle.py` (read first), the batch thread, the route file, the loaded bundles, dedupe, shadow scoring, the worker
and the supervisor. May import `core`, `stats`, `config`, `data`, `journal` and `models`; opens no database and loads no
ML library by itself. Keeps true: an answer goes out only after its record was committed, every request gets an answer,
and nothing but the route file, the bundles and the journal folder is needed to serve.
"""
