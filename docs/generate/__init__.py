"""Reference pages written from the code: `python -m docs.generate` after a message has changed.

`declared.py` reads the message modules' own text, `page.py` makes docs/subjects.md of it, `asyncapi.py` makes
docs/asyncapi.yaml of the types.
"""
