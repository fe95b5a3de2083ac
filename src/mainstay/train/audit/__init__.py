"""Who is served worse: answers per protected group, what gives a group away, and what the label stands for.

`groups.py` measures answers, `proxies.py` the features, `labels.py` the target; `measure.py` puts the report together,
`check.py` is the gate's question.
"""
