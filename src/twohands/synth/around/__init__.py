"""Everything else a camera sees: table, room, clutter and other people's arms."""
