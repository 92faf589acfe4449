"""tuning.html of a tuning's result: axes, plots, sections, the page."""
