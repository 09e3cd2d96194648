"""What things cost; not in the wheel."""
