"""Benchmarks of time, memory and accuracy; not in the wheel."""
