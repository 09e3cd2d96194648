"""Weights of the forensic families, trained from pixels and sound; nothing else needs this folder."""
