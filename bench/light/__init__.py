"""Real workers and real messages with work that costs nothing but time: for tests and benchmarks of everything around
the judge.

`worker.py` is a worker process like a validator or profiler, with a judge that does what the candidate's source says;
`candidate.py` writes such sources; `feed.py` speaks a generator's part without a model; `system.py` starts the lot.
"""
