"""Attributes of drawn and mini faces: the traits of a person, read by a network."""
