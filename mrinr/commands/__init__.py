"""The shell's commands, one file each: HELP, `arguments(parser)` and `run(args, session)`."""
