"""The daily report's pages, HTML and PDF: pure functions of the computed report."""
