"""The KV tier on a GPU: `python -m bench.kv.gpu` runs every part, each in a process of its own."""
