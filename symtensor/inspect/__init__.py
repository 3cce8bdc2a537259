"""Looking inside: graphs as text, as networkx graphs, as DOT."""

from symtensor.inspect.export import to_dot, to_networkx
from symtensor.inspect.text import debugprint, parse_graph, print_graph, print_schedule

__all__ = ["debugprint", "parse_graph", "print_graph", "print_schedule", "to_dot", "to_networkx"]
