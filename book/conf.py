"""How Sphinx renders the book and its slides; `build.py` stages the sources and runs it."""

project = "Capacity planning of AI systems"
author = "The capkit authors"
copyright = "the capkit authors; text and figures CC BY 4.0, code MIT"
language = "en"

extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx_revealjs"]
templates_path = ["templates"]
suppress_warnings = ["toc.not_included"]  # a deck of slides stands alone

# Outputs are those of the notebooks: nothing runs while the book is built.
nb_execution_mode = "off"
nb_merge_streams = True
nb_mime_priority_overrides = [
    ("revealjs", kind, rank)
    for rank, kind in enumerate(("image/png", "text/html", "text/markdown"))
]
nb_ipywidgets_js = {}  # would come from a CDN; the figure beside a slider stays
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
myst_url_schemes = {
    "http": None,
    "https": None,
    "slides": {"url": "slides/{{path}}.html", "title": "slides"},
    "page": {"url": "../{{path}}.html", "title": "page"},
    "source": {"url": "_sources/notebooks/{{path}}.ipynb", "title": "notebook"},
}

# build.py puts MathJax beside the pages; the slides, one folder deeper, share it.
mathjax_path = "mathjax/tex-chtml.js"

html_title = project
html_theme = "sphinx_book_theme"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_sourcelink_suffix = ""
html_use_index = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "use_download_button": True,
    "use_fullscreen_button": False,
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

revealjs_static_path = ["static"]
revealjs_style_theme = "white"
revealjs_css_files = ["slides.css"]
revealjs_script_conf = {"hash": True, "slideNumber": "c/t", "width": 1120, "height": 700}
revealjs_script_plugins = [
    {"src": "revealjs/plugin/notes/notes.js", "name": "RevealNotes"},
]
