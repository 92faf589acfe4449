"""report.html from report.json's content: elements, plots, sections, the page."""
