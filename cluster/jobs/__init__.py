"""Runs as jobs of a Ray cluster: packed here, worked there, followed from anywhere."""

from cluster.jobs.address import connect
from cluster.jobs.following import follow
from cluster.jobs.packing import Package, check_output_of_job, pack
from cluster.jobs.submission import send

__all__ = ["Package", "check_output_of_job", "connect", "follow", "pack", "send"]
