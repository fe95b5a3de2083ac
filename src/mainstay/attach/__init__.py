"""A service that answers by itself, put under watch by a middleware or one call, which never slow or fail it.

In the service: `middleware`, `wsgi` and `record` hand over what they saw (`seen`), `recorder` writes it down from a
thread of its own, by the rules of the project (`rules`), to the project's journal (`sink`). In the loop: `learn` makes
of its requests what the watch compares with. Imports `core`, `config`, `store`, `journal`, `data`, `models`. Keeps
true: nothing that goes wrong here reaches the service, and the memory, disk and time taken from it are bounded.
"""
