"""The scheduler owns the order of waiting work, its dispatch, attempts, deadlines and cancellation, and device roles.

Consumes  evt.<run>.> (candidate.proposed is the request to validate), res.> (a passed verdict is the request to
          profile), ops.> (workers' heartbeats, failed attempts)
Publishes job.<stage>.<priority>.<run>.<iteration>.<candidate>, ctl.cancel.<run> (mirrored in KV SG_STATE),
          pool.assignment, ops.<scheduler>.attempt.revoked, res.<stage>.> with `infrastructure_error` after the last
          attempt
Never     judges, touches a device, or writes to a run's log

`core.py` is the pure machine, `order.py` and `roles.py` its policies, `service.py` the I/O around it.
"""
