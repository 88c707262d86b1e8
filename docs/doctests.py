"""Shows the doctests of docstrings as code, wherever they stand in the text."""

import re

import griffe

# A doctest begins with >>> at the beginning of a line and ends with an empty one.
_DOCTEST = re.compile(r"(?m)^>>> .*(?:\n(?!\s*$).*)*")


class Doctests(griffe.Extension):
    """Fences doctests, which Markdown would take for quotations."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring of each object that is loaded."""
        if obj.docstring:
            obj.docstring.value = _DOCTEST.sub(
                lambda found: f"\n```pycon\n{found[0]}\n```\n", obj.docstring.value
            )
