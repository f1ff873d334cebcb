"""The installation as seen by people who have signed in to it, from machines of their own."""
