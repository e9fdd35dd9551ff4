"""The generator owns a run: its prompts, its iterations, every LLM call and the run's log.

Consumes  run.submit.<run> (work queue), cmd.<run>.> (fork, stop, abort, cancel), res.*.<run>.> (results),
          ops.*.attempt.revoked
Publishes evt.<run>.> (facts; it is their only writer), tok.<run>.> (token stream), jrn.<run>.> (token journal),
          ops.<run>.engine.measured (load of each replica of the engine), ops.<run>.prefix.located
Never     orders or runs work on a device, nor decides when to fork or stop: it grants what the trigger asks for

`replicas.py` knows the engines, `placement.py` chooses among them.
One candidate's way through here: `generation.py` streams the tokens, `extract.py` finds the source, `iteration.py`
proposes it and accepts its results, `state.py` folds the facts, `strategy.py` turns them into the next prompt.
"""
