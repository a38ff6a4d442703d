"""
The pytest plugin: limits on what tests allocate and leave behind.

    plugin.py    options, markers, and what is switched on
    restart.py   pytest --heapsake becomes `heapsake run ... pytest --heapsake`
    demands.py   what holds for one test: its markers and the options
    session.py   a traced session: regions, verdicts, the summary
    protocol.py  one test that is run several times
    reports.py   verdicts in pytest's reports
"""
