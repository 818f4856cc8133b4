"""Rendering: meshes with labels, rasterisation, shading, light, and the colour camera."""
