"""The one command line, ``deepcue SUBCOMMAND``: a module for each subcommand.

Such a module has three names: ``EXAMPLE``, a command line that can be pasted; ``add_arguments(parser)``; and
``run(arguments)``, which calls the library, prints results to stdout and returns None or an exit status. The module's
docstring is the help. Progress goes to stderr. Errors of the user are raised as :class:`~features.errors.InputError`
(see :mod:`deepcue.cli.error_boundary`). A subcommand that keeps something when it is interrupted has a fourth name,
``stopped(arguments)``, which returns what is kept as text.
"""
