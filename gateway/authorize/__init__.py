"""Step 2: may they, by Cedar policy over the arguments."""
