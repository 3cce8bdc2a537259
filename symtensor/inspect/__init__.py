"""Looking inside: graphs, schedules and loops as text, and what functions show of themselves."""

from symtensor.inspect.text import debugprint, parse_graph, print_graph, print_schedule

__all__ = ["debugprint", "parse_graph", "print_graph", "print_schedule"]
