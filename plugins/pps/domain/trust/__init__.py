"""What sites with a kit verify themselves: statements of two people, keys in force, and what is current."""
