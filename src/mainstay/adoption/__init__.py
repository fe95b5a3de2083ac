"""A fitted model from a notebook or from MLflow becomes a project that is served, watched and retrained.

Imports everything below.
"""
