"""A whole system in virtual time: thousands of devices and runs in seconds, by the code that decides in the real one.

Real: the scheduler's core with its order and pools, the fold of a run's facts, what ends an iteration and which results
count, the stop and fork policies. Simulated: the model (tokens at a rate, forks that answer), the judge (a job holds a
device for a while) and the bus (a message takes some milliseconds). `world.py` lists the assumptions, `workload.py`
draws what happens, `system.py` puts it together, `figures.py` counts.
"""
