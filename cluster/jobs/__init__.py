"""Runs as jobs of a Ray cluster: packed here, worked there, followed from anywhere."""

from cluster.jobs.client import connect, follow, send
from cluster.jobs.packing import Package, check_output_of_job, pack

__all__ = ["Package", "check_output_of_job", "connect", "follow", "pack", "send"]
