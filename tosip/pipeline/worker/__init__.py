"""The worker process: the user's algorithm, in the user's interpreter.

Started by `bootstrap`, which makes TOSIP importable there without installing it. Everything in this
folder uses the standard library and NumPy only, on Python 3.9 and later.
"""
