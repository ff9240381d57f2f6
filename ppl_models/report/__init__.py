"""Reports as self-contained HTML files: one of a fit, or a gallery of several."""

from ppl_models.report.page import Block, Section, write_gallery, write_page
from ppl_models.report.write import write_report

__all__ = ["Block", "Section", "write_gallery", "write_page", "write_report"]
