"""Which requests people label next, and what their labels say of all traffic.

`draws` picks requests with known chances, `queue` says what waits for whom and takes words back, `estimates` weighs the
labels. The command `mainstay review` and the control room's page call the same functions.
"""
