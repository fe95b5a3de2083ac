"""Declared features: the files that they stand in, one definition of each name, what they cost, and a Feast repository.

May import `core`, `config`, `models` and `data`. Keeps true: what training computes is computed by the text that goes
into the bundle; a name has one definition.
"""
