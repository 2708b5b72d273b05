"""Tests against a real brainjar: lab/python.test of the project runs them."""
