"""What a person is told when something that they gave cannot be used."""


class InputError(ValueError):
    """The input is wrong: the message says what, where, and what to do, in one sentence.

    The command line prints the message alone and exits with status 2.
    """


class UnsupportedError(InputError):
    """A method cannot serve a program: the message names the site and the way out."""
