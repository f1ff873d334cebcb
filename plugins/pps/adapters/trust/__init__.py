"""Signatures of people, made and checked with the tools that sites have."""
