"""What answers that were drawn at random say: of any version, by the chances with which they were given.

Reads the journal's records with a draw and the rewards in the store; answers nothing and changes nothing.
"""
