"""The operating-system process: signals, clocks, descriptors, user and files.

`state_dir` reads and replaces the files of the state directory.
"""
