"""A registry of cue families that a test may change."""

from features import discovery, spec


def own_registry(monkeypatch):
    """Give the test a copy of the registry.

    The built-in families are loaded before: a module that is first imported beside a copy would be lost with it, for
    every later test of the process.
    """
    discovery.families(spec.family_modules())
    monkeypatch.setattr(spec, "registry", dict(spec.registry))
