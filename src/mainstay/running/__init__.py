"""The processes of one project on this machine: started together, kept alive, stopped together.

Imports `core`, `config`.
"""
