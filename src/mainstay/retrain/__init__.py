"""Trigger → guard → dataset: when a new version is trained by itself, whether it may be, and on what.

May import `core`, `stats`, `config`, `store`, `models` and `data`. Keeps true: nobody alone turns the model (labels of
a key are capped), the rows that compare are never fitted, and nothing is trained while another version is on its way.
"""
