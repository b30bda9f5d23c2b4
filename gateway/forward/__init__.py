"""Step 4: the call goes out, and its answer comes back."""
