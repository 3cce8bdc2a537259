"""Looking inside: graphs, schedules and loops as text, and what functions show of themselves."""

from symtensor.inspect.text import parse_graph, print_graph, print_schedule
from symtensor.inspect.tree import debugprint

__all__ = ["debugprint", "parse_graph", "print_graph", "print_schedule"]
