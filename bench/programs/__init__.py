"""The programs that are measured; `bench.program` says what they read and answer."""
