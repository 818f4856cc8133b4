"""The person the hands belong to: body, arms, sleeves, skin, watches and rings."""
