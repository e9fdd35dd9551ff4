"""When to ask for a fork and when to ask for a stop.

Consumes the token stream of each run's main generation (`tok.<run>.<iteration>.main`, a gap is refetched from SG_TOK),
the facts of all runs (`evt.<run>.>`), the workers' heartbeats (`ops.<worker>.worker.>`), what a prefix costs at each
replica of a run's engine (`ops.<run>.prefix.located`) and, where it begins to read an iteration, its own earlier
requests. Publishes ForkRequest, StopRequest and AbortRequest, nothing else.

A delta's way through here: `stream.py` orders it, `parse/` finds signals in its text, `situation.py` is what else a
decision is made from, `value.py` weighs gain against cost, `service.py` makes requests of what comes out and
`outbox.py` publishes them. `run.py` and `stop.py` decide on stops from the facts alone. `priors.json` holds what
recorded reasoning says beforehand.

It never holds token ids, never talks to an LLM, never judges a candidate and decides nothing by itself: a request is
granted or ignored by the run's generator, and only the generator's facts say which.
"""
