"""Poses of hands and arms: free hands, hands that touch each other, and hands that close on an object."""
