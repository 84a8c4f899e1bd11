"""Decides which upstream a connection gets.

Standard library and attrs only: nothing here can do I/O, read a clock, draw
lots of its own accord or log.
"""
