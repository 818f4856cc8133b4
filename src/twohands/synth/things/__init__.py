"""Objects, their textures and prints, and the palette of materials they share."""
