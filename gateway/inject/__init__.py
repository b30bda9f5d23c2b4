"""Step 3: the upstream credential, added after the permit."""
