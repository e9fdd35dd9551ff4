"""The engine's side of the KV tier, loaded by vLLM: no bus, no settings file, only vLLM's own JSON line.

`connector.py` is what vLLM is told to use; `recent.py` and `older.py` adapt it to vLLM's versions. What they adapt
knows nothing of vLLM: `tier.py` asks the pools for the scheduler, `holding.py` says when blocks are stored,
`mappings.py` and `transfers.py` copy for a worker, by `host.py` on a CPU and `device.py` on a GPU, through `remote.py`
where the pool is on another host. `slots.py` is how all of them say where blocks are.
"""
