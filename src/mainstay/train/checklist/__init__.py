"""Behaviour tests in the sense of CheckList (Ribeiro et al. 2020), declared in `behaviour.toml` beside the project.

`declared.py` reads the file, `cases.py` makes rows of it, `measure.py` asks the model, `check.py` judges for the gate.
"""
