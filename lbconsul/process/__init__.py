"""This operating-system process: signals, clocks, descriptors, user, files."""
