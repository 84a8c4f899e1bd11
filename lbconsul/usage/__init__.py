"""What the commands and their options are, as help, completions and manual pages.

All are made from one table, which is made from that of the options.
"""
