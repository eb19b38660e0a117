"""Fits that one solve does not make: approaches 1 and 2, bowls, whole loss curves."""
