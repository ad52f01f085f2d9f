"""News: feeds crawled, articles cleaned, grouped into stories, linked to symbols, scored."""
