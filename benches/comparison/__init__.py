"""Stores side by side: what `benches/compare` consists of."""
