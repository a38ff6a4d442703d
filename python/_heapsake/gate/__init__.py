"""
Limits on what a piece of a program may do with memory, and whether it kept them: what the pytest plugin and
heapsake.unittest are made of.

    limits.py    what may be demanded
    rounds.py    runs a test until it is known what it leaves behind
    machinery.py what the test framework does around a test
    follower.py  asks `heapsake follow` what was born in a region, and what of it lives
    gate.py      one process's trace, and who reads it
    verdict.py   what was measured against the limits
    account.py   the verdict as text: site, cause, and what keeps it
"""
