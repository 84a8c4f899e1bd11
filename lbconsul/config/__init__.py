"""The operator's configuration: values, their grammar, and their sources.

Pure: nothing here opens a file, a socket or the environment by itself.
"""
