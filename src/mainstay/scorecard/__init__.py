"""How ready a model is for production, by evidence that is held here: nothing is asked, and nothing is believed.

`evidence.py` gathers what is known, `ml_test_score.py` scores the 28 tests of Breck et al. (2017), `practice.py` the
practitioners' checklist, `make.py` puts the card together.
"""
