"""What a run was, recomputed from its events: `events.py` reads and writes them, `tally.py` counts them,
`summary.py` is the result as data, `page.py` the report a person reads, `folder.py` the files a run leaves."""
