"""Checks of a user's frames: errors for values that are impossible, findings for those that cannot be trusted."""
