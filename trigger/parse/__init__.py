"""From a text that arrives in pieces to signals. `parser.Parser` is the way in; each other file is one idea of it."""
from trigger.parse.parser import Parser

__all__ = ["Parser"]
