"""What ``orchestrate new`` needs to write a recipe for a model of the Hub.

``survey`` asks the Hub and gives a :class:`~orchestrator.workflows.drafting.survey_findings.Found`; ``choosing``
makes a draft of it by the tool chain's ``drafts.yaml``; ``writing`` turns that into YAML.
Only ``survey`` does I/O.
"""
