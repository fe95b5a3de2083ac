"""A version as a container's build context, and what runs inside. Imports everything below.

`context.py` writes the folder, `needs.py` finds what must be installed, `run.py` is what the container starts.
"""
