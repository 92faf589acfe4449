"""What goes wrong on the launching side."""


class LaunchError(Exception):
    """A failure that the user can act on; the message is one line: what, where, what to do."""
