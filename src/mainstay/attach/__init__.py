"""A service that answers by itself, put under watch by a middleware or one call, which never slow or fail it.

Imports `core`, `config`, `journal`, `data`, `models`.
"""
