"""The profiler takes profiling jobs on a device it has leased for the time of the measurement.

Consumes  job.profile.> (by priority), ctl.cancel.>, pool.assignment
Publishes res.profile.<run>.<iteration>.<candidate>, ops.> (heartbeats, attempts, leases)
Never     decides what a measurement is (the judge does), nor orders work

The work itself is in `common.worker` (one job's way) and `common.judge` (the clocks).
"""
