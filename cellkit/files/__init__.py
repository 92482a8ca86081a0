"""The room at the door: reads pictures and annotations, writes whole or not at all, runs programs.

No other room of `cellkit` opens a file.
"""
