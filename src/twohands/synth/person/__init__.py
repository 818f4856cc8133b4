"""The person to whom the hands belong: body, arms, sleeves, skin, watches and rings."""
