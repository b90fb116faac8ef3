"""The arguments that several commands share."""

from typing import get_args

import pytest

from proximax.cli import arguments
from proximax.cli.commands import COMMANDS

SHARED = [name for name in vars(arguments) if hasattr(getattr(arguments, name), "__metadata__")]


@pytest.mark.parametrize("name", SHARED)
def test_an_argument_has_a_help_that_is_a_sentence(name):
    (help_text,) = (x.help for x in get_args(getattr(arguments, name))[1:] if getattr(x, "help", None))
    assert help_text[0].isupper() or help_text.startswith("last, best")
    assert help_text.rstrip()[-1] in ".!?" or "VALUE" in help_text


def test_every_shared_argument_is_one_of_a_command():
    used = {str(annotation) for command in COMMANDS.values() for annotation in command.__annotations__.values()}
    assert not [name for name in SHARED if str(getattr(arguments, name)) not in used]
