"""What `./postrider bench` measures, beside the peers that a user might pick instead; see README.md in this folder."""
