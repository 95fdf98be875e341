"""The assessment of a finished run on its test rows: scores, other models, columns, coefficients, and the page of it all.

This folder exports nothing itself: `_assess` has the numbers of result.json, `page` the page report.html.
"""
