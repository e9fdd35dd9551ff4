"""vLLM as a service of the project, and what a running vLLM says about its load.

Runs      `python -m generator.engine`: one vLLM server in an environment of its own, restarted when it dies
Publishes ops.<run>.engine.measured (`watch.py`): what a vLLM, ours or anyone's, tells under /metrics (`metrics.py`)
Never     imports vLLM: its environment is not the services'

`arguments.py` is the command line the method needs (prefix caching, priorities, cached tokens reported), `process.py`
keeps it running, `complaint.py` finds the one line of its log that says why it does not start.
"""
