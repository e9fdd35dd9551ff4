"""The fence around a candidate's process, seen from outside: bubblewrap, control groups, and whether they work here."""
