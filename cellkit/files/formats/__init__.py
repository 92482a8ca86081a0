"""Formats of other programs, writing and reading beside each other: arrays in, bytes out, and back.

What is read is what was drawn; ``cellkit/drawn.py`` makes cells of it.
"""

DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a file that isn't what it should be may raise."""
