"""A replay endpoint: speaks vLLM's protocol and plays a recording at a fixed rate, so everything above it is real.

Started as a process (`python -m generator.replay --recording PATH`). It is stateless: which part of the recording
answers a request follows from the request's own prompt (`script.py`), so it can be killed and started again at any
moment. `record.py` is its counterpart: a proxy before a real endpoint that writes recordings.
"""
