"""Atari games: ``games`` (ids and ROMs), ``make`` (from a game to an environment), ``ale`` (state), ``rendering``."""
