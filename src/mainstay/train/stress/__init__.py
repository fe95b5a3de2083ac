"""The evaluation set as real users and broken pipelines would send it.

`measure.py` asks and says how much of the metric is kept; `texts.py` and `fields.py` do the harm, kind by kind;
`records.py` says what a kind is.
"""
