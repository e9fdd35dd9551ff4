"""A whole run on a real engine whose words are a recording's: `python -m bench.replayed`, speculation off and on.

Real: vLLM, `generator`, `trigger`, `scheduler`, `validator`, `profiler` and the NATS server as processes, their
messages, forks, aborts and stops, the compilers, the checks and the timing of kernels. Stood in for: what the model
says. A proxy before the engine (`proxy.py`) adds to each generation the words it is to say (`player.py`, `words.py`),
which teacher forcing (`bench.engine.forcing`) makes the engine say: a main generation its recorded reasoning and
answer, a fork the kernel that was recorded for its depth.
"""
