"""What can go wrong, as a sentence for the person who typed the command."""


class DiffmusicError(Exception):
    """Base of every error whose message is meant for the user; the command line prints it as one line."""


class InputError(DiffmusicError, ValueError):
    """The request cannot be carried out as it stands; the message says what would be right. Exit code 2."""


class Diverged(DiffmusicError, RuntimeError):
    """The iteration left the finite numbers. Nothing is written. Exit code 1."""
