"""The CLI's commands, one module each: NAME, HELP, EXAMPLES, `add_arguments(parser)`, `run(args) -> exit code`."""
