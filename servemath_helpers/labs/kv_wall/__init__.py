"""Lab 3, the KV-cache memory wall: how many users a node holds, what batching does to them."""
