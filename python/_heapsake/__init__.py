"""
What `heapsake` and `pytest_heapsake` are made of. Under a name of its own, so that the plugin works where the tests' own package,
or their folder, is called heapsake: `import heapsake` may then be theirs.

    marks.py, watches.py  what a traced program asks for
    library.py            the library that it asks
    trace_file.py         where its trace is
    gate/                 limits on memory, and whether they were kept
"""
