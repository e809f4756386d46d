"""The base of all errors that are told in a sentence instead of a traceback."""


class EnhancerError(Exception):
    """Something that whoever ran the command can mend; the message says what, and what to do.
    Commands print it and end with `exit_code`."""

    exit_code = 2
    """As for wrong usage; 1 where the command itself was right."""
