"""Settings, read once into frozen values."""
