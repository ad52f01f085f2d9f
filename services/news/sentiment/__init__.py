"""How an article sounds: scorers and the lexicon they use."""
