"""What the activities need from the world. One adapter each; tests bring their own."""
