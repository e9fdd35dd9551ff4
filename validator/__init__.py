"""The validator takes validation jobs on devices whose role is to validate.

Consumes  job.validate.> (by priority), ctl.cancel.>, pool.assignment
Publishes res.validate.<run>.<iteration>.<candidate>, ops.> (heartbeats, attempts, leases)
Never     decides what a verdict is (the judge does), nor orders work

The work itself is in `common.worker` (one job's way) and `common.judge` (the verdict).
"""
