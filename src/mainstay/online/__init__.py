"""An online learner: takes labels as they come, and keeps each state it comes to.

Serving never learns in place. The learner goes on from the state of the version that answers, or from a later one of
its own; a state becomes a version like any other (`retraining`). May import the stages. Keeps true: a label is learned
once in a chain of states; a state and what it looked at are one transaction; nothing goes on from a state that was
taken back.
"""
