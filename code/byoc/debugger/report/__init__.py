"""The report of a debugged job: report.json by pure functions, and report.html from it."""
