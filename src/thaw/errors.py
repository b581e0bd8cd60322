"""The one kind of error that a user is meant to read."""


class ThawError(Exception):
    """Something the user can mend. The message is one sentence: what, where (file and key), and the remedy.

    The command line prints it without a traceback and exits with status 2.
    """
