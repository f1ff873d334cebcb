"""Commands for those who sign, and those who hold keys."""
