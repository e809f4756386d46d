"""The base of all errors that are told in a sentence instead of a traceback."""


class EnhancerError(Exception):
    """Something that whoever ran the command can mend; the message says what, and what to do.

    Commands print the message and end with `exit_code`. A subclass says where the error comes from,
    and changes the code where it means something else.
    """

    exit_code = 2
    """What the process ends with: 2, as for wrong usage; 1 where the command itself was right."""
