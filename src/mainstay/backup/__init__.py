"""The state of a project, copied while everything runs, and put back.

May import everything below. Keeps true: a backup without its manifest is none, and the manifest is written last; what
was acknowledged before a backup began is in it; a restore changes nothing before every digest held; neither undoes an
erasure, as subjects' keys stay out unless they are asked for.
"""
