"""Step 1: who is calling, proven by a signed token."""
