"""When to ask for a fork and when to ask for a stop.

Consumes the token stream of each run's main generation (`tok.<run>.<iteration>.main`, a gap is refetched from SG_TOK),
the facts of all runs (`evt.<run>.>`) and, where it begins to read an iteration, its own earlier requests. Publishes
ForkRequest, StopRequest and AbortRequest, nothing else.

It never holds token ids, never talks to an LLM, never judges a candidate and decides nothing by itself: a request is
granted or ignored by the run's generator, and only the generator's facts say which.
"""
