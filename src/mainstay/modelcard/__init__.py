"""A model card (Mitchell et al. 2019): what a version is for, what it was made of, how good it is for whom, its limits.

`records.py` is a card as sections of sentences and tables, `make.py` fills it from what is held, `markdown.py` and
`html.py` write it down. What the project does not declare is said to be undeclared, never left out.
"""
