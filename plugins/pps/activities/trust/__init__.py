"""What sites with a kit are told: statements and their signatures, keys, and the kit itself."""
