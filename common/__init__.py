"""What two services use: messages, bus, settings, logs, task format, devices, the judge (a library) and the CLI.

Imports no service.
"""
