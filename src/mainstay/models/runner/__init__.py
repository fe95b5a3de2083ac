"""A bundle outside the worker: a runner process answers for it, with a deadline, a memory limit and a circuit breaker.

`child.py` is what runs there: `mainstay.models` and the model's own libraries, no journal, no store, no route. The
rest runs in the worker. Read in order: protocol, child, process, breaker, runner, outside.
"""
