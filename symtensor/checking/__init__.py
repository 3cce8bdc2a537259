"""The self-check of functions: ``function(..., check=True)`` or ``SYMTENSOR_CHECK=1``.

A checked function runs as any other and then compares: `agreement` says when two results are the same
but for rounding, `origin` finds where a NaN came from, `aliasing` whether a call touched memory that is
not its own, `checked` puts them around the calls. Nothing here is imported unless a check is on.
"""
