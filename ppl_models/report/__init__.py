"""Pages that anybody can open: one self-contained HTML file a fit, or a gallery of many."""

from ppl_models.report.page import Block, Section, write_gallery, write_page
from ppl_models.report.write import write_report

__all__ = ["Block", "Section", "write_gallery", "write_page", "write_report"]
