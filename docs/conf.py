"""Sphinx's settings; ``make docs`` builds the pages into ``out/docs``, without the network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).parent))

matplotlib.use("agg")  # not by MPLBACKEND: notebooks inherit it, and would show no pictures
os.environ.setdefault("PYTHONPATH", str(ROOT))  # notebooks run in processes of their own
# the pages' examples are small: what they compile is kept between two builds
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

project = "ppl_models"
author = "the ppl_models authors"
copyright = "the ppl_models authors, Apache-2.0"

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "_gallery",
]
exclude_patterns = ["_build"]
suppress_warnings = ["mystnb.unknown_mime_type"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = os.environ.get("PPL_MODELS_DOCS_EXECUTE", "cache")
nb_execution_cache_path = str(ROOT / "out" / "docs-cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_output_stderr = "remove"  # progress, and what libraries say of notebooks

autodoc_typehints = "none"  # the docstrings say shapes and units, which types do not
autodoc_member_order = "bysource"
autosummary_generate = True
autosummary_ignore_module_all = False
napoleon_google_docstring = True

html_theme = "pydata_sphinx_theme"
html_title = "ppl_models"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system says
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {name: [] for name in ("index", "five_minutes", "gallery", "numbers")}
