"""Interiors and exteriors of homes before and after editing."""
