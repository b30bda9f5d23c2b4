"""What must be remembered beyond one call, behind small seams: in memory, or in a database file that survives the process."""
