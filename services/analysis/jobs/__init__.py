"""Analysis that is not live: tables of many symbols."""
