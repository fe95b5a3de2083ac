"""Evidence → gate → rollout → probation: whether a version may answer users, and how it is brought to them.

May import `core`, `stats`, `config`, `store`, `models` and `data`. Keeps true: no verdict rests on missing evidence, a
version's stage and the route change in one transaction, and a rollout's judgement holds however often it is looked at.
"""
