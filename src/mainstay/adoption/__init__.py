"""A fitted model from a notebook or from MLflow becomes a project that can be served, watched and retrained. Imports everything below."""
