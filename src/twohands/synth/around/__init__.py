"""The surroundings of the person: table, room, clutter and other people's arms."""
