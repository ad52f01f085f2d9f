"""How each kind of feed is read: one small file for each."""
