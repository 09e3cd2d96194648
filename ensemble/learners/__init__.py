"""Base learners behind one interface."""
