"""The report as one page that needs no network."""

from synthgen.report.page.writing import Page, write_page

__all__ = ["Page", "write_page"]
