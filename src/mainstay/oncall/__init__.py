"""What people do about incidents: look, acknowledge, silence, mark, end; and how other tools are told of them.

May import the stages' stores and words; changes nothing but what a person asks for, and writes each act into the audit.
"""
