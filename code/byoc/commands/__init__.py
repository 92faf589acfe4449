"""The subcommands of `byoc`, one module each."""
