"""The methods, a file each, found by their file's name.

A file ``name.py`` holds ``name(problem, key, *, options) -> Result`` and ``check(problem)``, which
refuses, in one sentence with the way out, a program that the method cannot serve.
"""
