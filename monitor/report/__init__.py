"""A finished call, or a day, as a page and a picture that can be sent on. Only `drawing` and `sound` need the extra `report`."""
