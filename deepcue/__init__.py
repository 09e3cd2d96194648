"""The public API; what is not named here is not promised."""

__version__ = "0.2.0"
