"""What the bus does: the token path, durable records, dispatch by priority beside one queue, recovery from kill -9."""
