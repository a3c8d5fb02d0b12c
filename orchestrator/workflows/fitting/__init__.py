"""The best file for a size: types placed by the divergence that they were measured to cost.

:mod:`fit` leads through it: groups of tensors, probes, a choice, its measurement on a text that
the search has not seen, a recipe.
"""
