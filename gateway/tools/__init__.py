"""The tool catalogue: what each tool can do, and whether a call keeps to it."""
