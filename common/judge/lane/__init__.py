"""The judge's trusted processes: one that compiles, one that owns the device work. They talk to the service over a
socket, to the zygote over another, and to each candidate's process over sockets of its own."""
