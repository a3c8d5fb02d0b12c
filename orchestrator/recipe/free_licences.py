"""Which licences are known to be free; pure.

Ids are those of the Hub (https://huggingface.co/docs/hub/repositories-licenses). Free means
here: whoever has the files may pass them on, changed and for money, without asking; that is
known of the ids below and of no others. This is a safety catch, not legal advice: what a
licence demands beyond that (a notice, its text beside the files) stays the publisher's duty.
"""

from __future__ import annotations

FREE = frozenset(
    (
        *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear"),
        *("isc", "zlib", "unlicense", "wtfpl", "cc0-1.0", "pddl", "cc-by-2.0", "cc-by-2.5"),
        *("cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "odc-by", "odbl"),
        *("cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "artistic-2.0"),
        *("gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "mpl-2.0"),
        *("epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "ecl-2.0", "afl-3.0", "bsl-1.0"),
        *("ms-pl", "ncsa", "osl-3.0", "postgresql", "lppl-1.3c", "ofl-1.1"),
    )
)
_OWN_TERMS = "it has terms of its own"
_NON_COMMERCIAL = "it forbids commercial use"
_NO_CHANGES = "it forbids redistributing changed files, and a quantized file is one"
# The first fitting start of an id tells why it is not free.
_WHY = {
    "cc-by-nc": _NON_COMMERCIAL,
    "fair-noncommercial": _NON_COMMERCIAL,
    "cc-by-nd": _NO_CHANGES,
    "cc": "it does not say which of the Creative Commons licences is meant",
    "llama": "it is Meta's, who decide who gets the weights and on which terms",
    "gemma": "it is Google's, who decide who gets the weights and on which terms",
    "openrail": "it forbids some uses, and that must be stated with the files",
    "bigscience": "it forbids some uses, and that must be stated with the files",
    "creativeml": "it forbids some uses, and that must be stated with the files",
    "bigcode": "it forbids some uses, and that must be stated with the files",
    "other": _OWN_TERMS,
    "unknown": "what it allows is not known",
}


def why_not_free(licence: str) -> str:
    """Half a sentence about a licence that is not known to be free; empty for one that is."""
    licence = licence.lower()
    if licence in FREE:
        return ""
    if "-nd" in licence:
        return _NO_CHANGES
    found = (why for start, why in _WHY.items() if licence.startswith(start))
    return next(found, "it is not known to be free")
