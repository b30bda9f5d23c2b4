"""Step 5: the decision log."""
