"""One module a network, found by its name: the class is the name in CamelCase.

Every network maps z (B, C, H, W) and tau = t/T (B,) to an answer of the shape of z.
"""
