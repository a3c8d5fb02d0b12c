"""One module a measure: its verb, numbers, limits, sentence, columns and alarm.

A new measure is a module in this room that has a ``MEASURE``, its verb in a tool chain's data
and its test; :mod:`orchestrator.measures.registry` finds it, and no other room knows it by name.
"""
