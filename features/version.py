"""The version of deepcue, in one place: of the package and its wheel, of pages, and of the models it trains."""

__version__ = "0.15.0"
