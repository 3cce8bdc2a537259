"""What is timed."""

from benchmarks.workloads import elementwise, products, training
from benchmarks.workloads.workload import Workload


def all_workloads() -> list[Workload]:
    """Return every workload, in the order of the table."""
    return [*elementwise.workloads(), *products.workloads(), *training.workloads()]
