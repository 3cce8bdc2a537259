"""Graphs for other tools: networkx, Graphviz and SVG, Model Explorer, ONNX, StableHLO."""
