"""What validator and profiler share: taking jobs, holding a device, heartbeats, cancellation, draining.

A job's way through: `pull.py` takes it, `attempt.py` compiles it, waits for a device (`device.py`), judges it and
publishes the result; the job is acknowledged after its result is stored.
While the bus takes no more, the worker waits with what it found and keeps the job.
"""
