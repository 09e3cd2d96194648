"""The one command line, ``deepcue SUBCOMMAND``: a module for each subcommand."""
