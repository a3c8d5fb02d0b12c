"""Groups of commands whose help lists them by what they are for."""

from __future__ import annotations

import click

# A command that stands nowhere here is listed under the last title.
SECTIONS = {
    "Make": ("run", "recipes", "new", "fit", "adopt", "lock"),
    "Check": (
        "check",
        "plan",
        "verify",
        "diff",
        "compare",
        "reproduce",
        "bisect",
        "verify-provenance",
    ),
    "Use": ("chat", "serve"),
    "Watch": ("nightly", "accept", "history", "site"),
    "Publish": ("publish",),
    "Maintain": ("doctor", "store", "toolchain", "worker"),
    "Other": ("schema", "completion"),
}
_SENTENCE = 200


class Commands(click.Group):
    """A group whose commands are listed in the order of definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of definition."""
        del ctx
        return list(self.commands)


class Sections(Commands):
    """The commands of the program in sections, in the order in which a newcomer meets them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list for each section, with columns that stand below each other."""
        del ctx
        width = max(len(name) for name in self.commands)
        for title, names in self.sections().items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self._summary(name)) for name in names])

    def _summary(self, name: str) -> str:
        return self.commands[name].get_short_help_str(_SENTENCE)

    def sections(self) -> dict[str, list[str]]:
        """The names of the commands there are, by title."""
        found = {
            title: [name for name in names if name in self.commands]
            for title, names in SECTIONS.items()
        }
        listed = {name for names in SECTIONS.values() for name in names}
        found["Other"] += [name for name in self.commands if name not in listed]
        return {title: names for title, names in found.items() if names}
