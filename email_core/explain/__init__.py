"""The story of a message in plain words, for people who do not know SMTP. Pure: rows and the time come in, words come out."""
