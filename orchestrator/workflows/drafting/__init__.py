"""What ``orchestrate new`` needs to write a recipe for a model of the Hub.

``survey_repository`` asks the Hub and gives a :class:`~.survey_findings.Found`; ``decide_draft``
makes a draft of it by the tool chain's ``drafts.yaml``; ``drafted_recipe`` turns that into YAML.
Only ``survey_repository`` does I/O.
"""
