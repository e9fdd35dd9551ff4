"""Spare memory of one device as a cache of prefix KV blocks that inference engines share.

Consumes  kv.<device>.reserve, kv.<device>.release (a worker is about to use the device, or is done)
Publishes kv.<device>.reserved, ops.<device>.pool.> (size, reclaim, pauses); the lease kv.<device> announces the pool
Never     puts tensors on the bus, copies a block itself, or decides what is worth keeping beyond LRU

Engines speak to it over a unix socket (`wire.py`), which hands out descriptors of the pool's memory, or over TCP from
other hosts (`frames.py`, `address.py`). The engine's side (`engine/`) copies blocks by itself. The pool's rules are in
`pool.py` and `directory.py`, without I/O.
"""
